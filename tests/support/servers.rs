//! Mounts that another process answers for: sshfs without a network, bindfs; their servers' clocks, stops and deaths.
//!
//! Mounts and servers are removed with the test. If a tool is missing the test is skipped, with the reason on standard
//! error.

use super::{kill, unique, until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SFTP_SERVER: [&str; 3] =
    ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"];
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// Which program answers for a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sshfs,
    Bindfs,
}

/// A folder, and the same folder as a server shows it.
pub struct Mount {
    folder: tempfile::TempDir,
    server: i32,
    /// The mount's program.
    program: Option<std::process::Child>,
    /// Told to every process of the mount, by which they are found again.
    mark: String,
}

impl Mount {
    /// Mounts a new folder. The server's clock is off by so many seconds. Nothing, and a word on why, where that cannot be.
    pub fn new(kind: Kind, skew: i32) -> Option<Self> {
        if let Some(reason) = missing(kind, skew) {
            eprintln!("skipped: {reason}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Self { folder, server: 0, program: None, mark: unique() };
        for name in ["far", "near"] {
            std::fs::create_dir(mount.folder.path().join(name)).expect("a folder");
        }
        let wrapper = mount.folder.path().join("server");
        let program = match kind {
            Kind::Sshfs => find(&SFTP_SERVER).expect("looked for above"),
            Kind::Bindfs => format!("bindfs -f {} {}", mount.far().display(), mount.near().display()),
        };
        let clock = if skew == 0 {
            String::new()
        } else {
            let library = find(&FAKETIME).expect("looked for above");
            format!("export LD_PRELOAD={library} FAKETIME={skew:+}s FAKETIME_DONT_FAKE_MONOTONIC=1\n")
        };
        let pid_file = mount.folder.path().join("server.pid");
        let script =
            format!("#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\n{clock}exec {program}\n", pid_file.display());
        super::executable(&wrapper, &script);
        let mut command = match kind {
            Kind::Sshfs => {
                let mut command = Command::new("sshfs");
                command.arg("-f").arg("-o").arg(format!("ssh_command={}", wrapper.display()));
                command.arg(format!("x:{}", mount.far().display())).arg(mount.near());
                command
            }
            Kind::Bindfs => Command::new(&wrapper),
        };
        command.env("TEST_MOUNT", &mount.mark).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        mount.program = Some(command.spawn().expect("the mount's program starts"));
        until("it is mounted", || is_mounted(&mount.near()));
        until("the server runs", || pid_file.exists());
        let pid = std::fs::read_to_string(&pid_file).expect("its pid");
        mount.server = pid.trim().parse().expect("a pid");
        Some(mount)
    }

    /// The folder as the server has it.
    pub fn far(&self) -> PathBuf {
        self.folder.path().join("far")
    }

    /// The folder as the mount shows it.
    pub fn near(&self) -> PathBuf {
        self.folder.path().join("near")
    }

    /// A file on the server's side.
    pub fn write(&self, name: &str, content: &str) {
        let temporary = self.far().join(format!(".{name}.new"));
        std::fs::write(&temporary, content).expect("a file");
        std::fs::rename(temporary, self.far().join(name)).expect("in its place");
    }

    /// Stops the process that answers: every call on the mount waits from then on.
    pub fn stop(&self) {
        kill("STOP", self.server);
    }

    /// Lets it answer again.
    pub fn go_on(&self) {
        kill("CONT", self.server);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ended = Command::new("kill").args(["-CONT", &self.server.to_string()]).stderr(Stdio::null()).status();
        let _unmounted = Command::new("umount").arg("-l").arg(self.near()).stderr(Stdio::null()).status();
        super::processes::end_marked(&format!("TEST_MOUNT={}", self.mark));
        let _reaped = self.program.as_mut().map(std::process::Child::wait);
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path))
}

fn find(places: &[&str]) -> Option<String> {
    places.iter().find(|place| Path::new(place).exists()).map(|place| (*place).to_owned())
}

/// What is missing for such a mount.
fn missing(kind: Kind, skew: i32) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root may mount here".to_owned());
    }
    if !Path::new("/dev/fuse").exists() {
        return Some("there is no /dev/fuse".to_owned());
    }
    let program = if kind == Kind::Sshfs { "sshfs" } else { "bindfs" };
    if !has(program) {
        return Some(format!("there is no {program}"));
    }
    if kind == Kind::Sshfs && find(&SFTP_SERVER).is_none() {
        return Some("there is no sftp-server".to_owned());
    }
    (skew != 0 && find(&FAKETIME).is_none()).then(|| "there is no libfaketime".to_owned())
}

/// Whether a program is to be had.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A tmpfs over a folder, gone with the test.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one with these options. Nothing, and a word on why, where this user may not.
    pub fn over(folder: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder.to_path_buf()));
        }
        eprintln!("skipped: this user may not mount");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A small ext4 in an image, over a folder, gone with the test.
pub struct Ext4 {
    folder: PathBuf,
    errors: PathBuf,
}

impl Ext4 {
    /// Makes and mounts one. Nothing, and a word on why, where that is not to be had.
    pub fn over(folder: &Path, image: &Path) -> Option<Self> {
        let made = std::fs::File::create(image).and_then(|file| file.set_len(4 << 20));
        let steps: [&[&str]; 2] = [&["mkfs.ext4", "-q", "-F"], &["mount", "-o", "loop,errors=remount-ro"]];
        let done = |(step, places): (&[&str], &[&Path])| {
            let output = Command::new(step[0]).args(&step[1..]).args(places).output();
            output.is_ok_and(|output| output.status.success())
        };
        let mounted = made.is_ok() && steps.into_iter().zip([&[image][..], &[image, folder]]).all(done);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let device = mounts.lines().filter_map(|line| line.split_once(' ')).find_map(|(device, rest)| {
            let is_it = rest.split(' ').next() == folder.to_str();
            device.strip_prefix("/dev/").filter(|_| mounted && is_it).map(str::to_owned)
        });
        let Some(device) = device else {
            eprintln!("skipped: this user may not mount an ext4 of its own");
            return None;
        };
        let disk =
            Self { folder: folder.to_path_buf(), errors: format!("/sys/fs/ext4/{device}/trigger_fs_error").into() };
        if disk.errors.exists() {
            return Some(disk);
        }
        eprintln!("skipped: this kernel's ext4 cannot be made to fail");
        None
    }

    /// Reports an error to it, upon which it turns read-only, whoever has files open for writing.
    pub fn turn_read_only(&self) {
        std::fs::write(&self.errors, "1").expect("an error");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.folder).output();
    }
}
