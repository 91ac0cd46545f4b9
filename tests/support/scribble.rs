//! A whole directory written at random, in random pieces, under a running `wait`: it ends in time, and a success was one.
//!
//! Shared by the tests and a fuzz target. Nothing may be ended by it: the pids in these files are anybody's, so the wait
//! only reports.

use dogwatch::{Outcome, StepName, WaitOptions};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const STEPS: [&str; 2] = ["a", "b.c"];
const RECORDS: [&str; 8] = ["pid", "heartbeat", "status", "result", "log", "meta", "lock", "breaker"];
const PIECES: [&[u8]; 12] = [
    b"SUCCESS\n",
    b"FAILED",
    b"SUC",
    b"",
    b"4194303\n",
    b"1\n",
    b"{\"a\":",
    b"1}",
    br#"{"schema":1,"run_id":"x","locked":true,"reason":"success"}"#,
    br#"{"schema":1,"run_id":"x","intent":"hung"}"#,
    br#"{"schema":9}"#,
    b"\0\xff\x1b[2J",
];
/// The call's own bound, and how long what has ended may take to say how, with room for a slow machine.
const AT_MOST: Duration = Duration::from_millis(20);
const BOUND: Duration = Duration::from_secs(20);

/// Writes what the bytes say, and waits meanwhile.
pub(crate) fn scribble(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_path_buf();
    let steps = STEPS.map(|name| StepName::parse(name).expect("a name"));
    let request = WaitOptions::new(&path).steps(steps.clone()).kill(false).at_most(AT_MOST);
    let began = Instant::now();
    let waiter = std::thread::spawn(move || request.wait());
    let (mut succeeded, mut linked) = (false, false);
    for change in bytes.chunks(4) {
        let byte = |at: usize| usize::from(change.get(at).copied().unwrap_or(0));
        let (step, record) = (byte(0) % 2, RECORDS[byte(0) / 2 % 8]);
        let file = path.join(format!("{}.{record}", STEPS[step]));
        change_file(&file, byte(1), PIECES[byte(2) % 12], byte(3));
        linked |= std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_symlink());
        let text = std::fs::metadata(&file).is_ok_and(|found| found.is_file()).then(|| std::fs::read(&file));
        let text = text.and_then(Result::ok).unwrap_or_default();
        let says = |word: &[u8]| text.to_ascii_uppercase().windows(word.len()).any(|part| part == word);
        // A recorded success that was not published yet is one as well.
        succeeded |= record == "status" && says(b"SUCCESS") || record == "meta" && says(b"\"SUCCESS\"");
    }
    let answer = waiter.join().expect("the wait does not panic");
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    // A record of a newer program, or a threshold that does not fit the run, is told in a sentence.
    let Ok(reports) = answer else { return };
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert!(STEPS.contains(&report.step.as_str()), "{report:?}");
        assert!(!report.killed && report.outcome != Outcome::Marker, "{report:?}");
        // Through a link any file of the two steps may have become the status.
        assert!(report.outcome != Outcome::Success || succeeded || linked, "no status ever said so: {report:?}");
    }
}

/// One change to one file: what cannot be done is not done.
fn change_file(file: &Path, how: usize, piece: &[u8], more: usize) {
    // To open a FIFO is to wait for its other end, be it through a link.
    let blocks = std::fs::metadata(file).is_ok_and(|found| !found.is_file());
    let _gone = match how % 10 {
        0..=4 | 8 if blocks => Ok(()),
        0..=2 => File::create(file).and_then(|mut opened| opened.write_all(piece)),
        3 | 4 => OpenOptions::new().create(true).append(true).open(file).and_then(|mut opened| opened.write_all(piece)),
        5 => {
            let hidden = file.with_file_name(".hidden.tmp");
            std::fs::write(&hidden, piece).and_then(|()| std::fs::rename(&hidden, file))
        }
        6 => std::fs::remove_file(file).or_else(|_| std::fs::remove_dir(file)),
        7 => match more % 3 {
            0 => std::fs::create_dir(file),
            1 => std::os::unix::fs::symlink("a.status", file),
            _ => make_fifo(file),
        },
        8 => File::options().append(true).open(file).and_then(|opened| {
            let age = Duration::from_secs(u64::try_from(more).unwrap_or(0).pow(2));
            let now = std::time::SystemTime::now();
            opened.set_modified(if more.is_multiple_of(2) { now - age } else { now + age })
        }),
        _ => {
            std::thread::yield_now();
            Ok(())
        }
    };
}

fn make_fifo(file: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(file.as_os_str().as_bytes()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let made = std::process::Command::new("mkfifo").arg(path.to_str().unwrap_or_default()).status()?;
    if made.success() { Ok(()) } else { Err(std::io::ErrorKind::AlreadyExists.into()) }
}
