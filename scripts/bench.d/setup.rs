//! What a call asks for, and where its files lie.
//!
//! An unknown word is an error.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a step of the measuring comes to.
pub(crate) type Done = Result<(), Box<dyn std::error::Error>>;
/// A value, or why there is none.
pub(crate) type Got<T> = Result<T, Box<dyn std::error::Error>>;

/// The program that is measured: the release binary, which cargo built for this.
pub(crate) const DOGWATCH: &str = env!("CARGO_BIN_EXE_dogwatch");

/// One call of the bench.
pub(crate) struct Setup {
    /// A few rounds of everything, to see that it works.
    pub(crate) quick: bool,
    /// Where the table, the JSON and the plot go.
    pub(crate) out: PathBuf,
    /// The floor's binary.
    pub(crate) floor: PathBuf,
    /// The static program of a release, where there is one.
    pub(crate) released: Option<PathBuf>,
    only: Option<String>,
    /// Where the files of a measurement lie: on the disk's filesystem where there is one, and in memory.
    folders: [PathBuf; 2],
}

/// What files lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filesystem {
    /// The disk's.
    Disk,
    /// tmpfs.
    Memory,
}

impl Setup {
    /// Reads the words of the call.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Got<Self> {
        let (mut quick, mut out, mut floor) = (false, PathBuf::from("target/bench"), None);
        let (mut released, mut only) = (None, None);
        // cargo adds `--bench` of its own.
        let mut words = words.filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => quick = true,
                "--out" => out = PathBuf::from(value()?),
                "--floor" => floor = Some(PathBuf::from(value()?)),
                "--released" => released = Some(PathBuf::from(value()?)),
                "--only" => only = Some(value()?),
                _ => {
                    return Err(
                        format!("{word}: call it by scripts/bench [--quick] [--out FOLDER] [--only PART]").into()
                    );
                }
            }
        }
        let floor = floor.ok_or("--floor is missing: call scripts/bench, which builds it")?;
        std::fs::create_dir_all(&out)?;
        let in_memory = |path: &Path| {
            nix::sys::statfs::statfs(path).map(|found| found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
        };
        let temporary = std::env::temp_dir();
        let disk = if in_memory(&temporary)? { out.canonicalize()? } else { temporary };
        let folders =
            [disk, PathBuf::from("/dev/shm")].map(|base| base.join(format!("dogwatch-bench-{}", std::process::id())));
        for folder in &folders {
            std::fs::create_dir(folder)?;
        }
        Ok(Self { quick, out, floor: floor.canonicalize()?, released, only, folders })
    }

    /// Whether a section is wanted.
    pub(crate) fn wants(&self, section: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == section)
    }

    /// As many rounds as are wanted, or a few.
    pub(crate) fn rounds(&self, full: usize, few: usize) -> usize {
        if self.quick { few } else { full }
    }

    /// A new, empty folder on the disk.
    pub(crate) fn place(&self, name: &str) -> Got<PathBuf> {
        self.place_on(Filesystem::Disk, name)
    }

    /// A new, empty folder.
    pub(crate) fn place_on(&self, filesystem: Filesystem, name: &str) -> Got<PathBuf> {
        let path = self.folders[filesystem as usize].join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir(&path)?;
        Ok(path)
    }

    /// A folder with one running step `s`: this process is its wrapper, its result stands, only the status is missing.
    pub(crate) fn running(&self, name: &str) -> Got<PathBuf> {
        let place = self.place(name)?;
        std::fs::write(place.join("s.heartbeat"), "")?;
        std::fs::write(place.join("s.result"), "{}\n")?;
        std::fs::write(place.join("s.pid"), format!("{}\n", std::process::id()))?;
        Ok(place)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // What is left in a temporary folder does no harm.
            let _left = std::fs::remove_dir_all(folder);
        }
    }
}

/// A process that does not outlive this value, however the measuring ends.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        command.spawn().map(Self)
    }
}

impl Deref for Process {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has been waited for is left alone by both.
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A command with nothing on its standard streams and nothing of dogwatch's in its environment.
pub(crate) fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOGWATCH_")) {
        command.env_remove(name);
    }
    command
}

/// dogwatch on a directory.
pub(crate) fn dogwatch(directory: &Path, words: &[&str]) -> Command {
    let mut command = quiet(DOGWATCH);
    command.arg("--dir").arg(directory).args(words);
    command
}

/// Whether a program of this name is in the path.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The clock that the job of `floor -j` reads, in nanoseconds.
pub(crate) fn monotonic() -> Got<i64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// When that job began and ended; 0 for what has not come.
pub(crate) fn stamps_in(file: &Path) -> Got<[i64; 2]> {
    let bytes = std::fs::read(file)?;
    let stamp = |at: usize| -> Got<i64> { Ok(i64::from_ne_bytes(bytes[at..at + 8].try_into()?)) };
    Ok([stamp(0)?, stamp(8)?])
}
