//! The program; everything is the library's.

fn main() {
    dogwatch::main()
}
