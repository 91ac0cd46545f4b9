//! Writes each harness's own texts into its corpus, below the folder that is given: what a fuzzer begins with.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the corpora's folder"));
    for (name, _, texts) in dogwatch::fuzzing::HARNESSES {
        std::fs::create_dir_all(folder.join(name))?;
        for (number, text) in texts.iter().enumerate() {
            std::fs::write(folder.join(name).join(format!("seed-{number}")), text)?;
        }
    }
    Ok(())
}
