//! The directory's files, written and read for real.
//!
//! Remote filesystems are tested in `tests/network_filesystems.rs`.

use super::*;

fn temporary_dir() -> (tempfile::TempDir, MonitorDir) {
    let folder = tempfile::tempdir().unwrap();
    let directory = MonitorDir::at(folder.path().to_path_buf());
    (folder, directory)
}

#[test]
fn a_published_file_is_whole_and_leaves_no_temporary() {
    let (_folder, directory) = temporary_dir();
    directory.publish(".t", "a.status", b"SUCCESS\n", None).unwrap();
    directory.publish(".t", "a.status", b"FAILED\n", None).unwrap();
    let FileState::Present { content, .. } = directory.read("a.status", 100).unwrap() else { panic!("no file") };
    assert_eq!(content, b"FAILED\n");
    assert_eq!(directory.names().unwrap(), ["a.status"]);
    assert!(directory.publish("missing/.t", "a.status", b"x", None).is_err());
}

#[test]
fn reads_are_bounded() {
    let (_folder, directory) = temporary_dir();
    directory.publish(".t", "a.status", &[b'x'; 100], None).unwrap();
    let FileState::Present { content, stamp } = directory.read("a.status", 10).unwrap() else { panic!("no file") };
    assert_eq!((content.len(), stamp.size), (10, 100));
}

#[test]
fn what_is_no_regular_file_is_named_and_never_waited_for() {
    let (folder, directory) = temporary_dir();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("f"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.path().join("n")).unwrap();
    std::os::unix::fs::symlink("l", folder.path().join("l")).unwrap();
    for (name, word) in [("d", "directory"), ("f", "FIFO"), ("s", "socket"), ("n", "device"), ("l", "cannot")] {
        let FileState::Invalid(fault) = directory.read(name, 10).unwrap() else { panic!("{name} was read") };
        assert!(fault.to_string().contains(word), "{fault}");
        assert!(matches!(directory.stat(name).unwrap(), FileState::Invalid(_)));
    }
    assert!(matches!(directory.read("none", 10).unwrap(), FileState::Missing));
}

#[test]
fn a_touch_moves_the_time_forward_and_makes_what_is_missing() {
    let (_folder, directory) = temporary_dir();
    directory.file("a.heartbeat").touch().unwrap();
    let before = directory.stat("a.heartbeat").unwrap();
    let FileState::Present { stamp: before, .. } = before else { panic!("no file") };
    loop {
        directory.file("a.heartbeat").touch().unwrap();
        let FileState::Present { stamp, .. } = directory.stat("a.heartbeat").unwrap() else { panic!("no file") };
        assert!(stamp.modified >= before.modified);
        if stamp.modified > before.modified {
            break;
        }
    }
}
