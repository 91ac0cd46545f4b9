//! Attacks by those who can write in the same directory, or into a log: links under every name, escapes, words for shells.
//!
//! Each test checks the files and processes that must not have been touched, not only the exit code.

use crate::support::Place;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Every name that a run of step `s`, its waiters and its breaker write.
const NAMES: [&str; 12] = [
    "s.pid", "s.heartbeat", "s.status", "s.result", "s.log", "s.meta", "s.lock", "s.breaker", "s.history", ".s.record",
    ".s.breaker.lock", "s.unknown",
];

/// A file of this user's outside the monitor directory.
struct Victim {
    _folder: tempfile::TempDir,
    file: PathBuf,
    missing: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, missing) = (folder.path().join("precious"), folder.path().join("missing"));
        std::fs::write(&file, "precious\n").expect("a file");
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        std::fs::File::options().append(true).open(&file).and_then(|file| file.set_modified(old)).expect("its time");
        Self { _folder: folder, file, missing }
    }

    #[track_caller]
    fn is_untouched(&self, attack: &str) {
        let modified = self.file.metadata().and_then(|found| found.modified()).expect("it is there");
        let since_1970 = modified.duration_since(std::time::SystemTime::UNIX_EPOCH).expect("a time").as_secs();
        let text = std::fs::read_to_string(&self.file).expect("it is read");
        assert_eq!((text.as_str(), since_1970), ("precious\n", 1_000_000), "{attack}");
        assert!(!self.missing.exists(), "{attack}: a file came into being where the link leads");
    }
}

/// All that writes, in its usual order.
fn use_all(place: &Place) {
    for line in [
        "run s --max-consecutive 1 -- sh -c echo\tx;exit\t1",
        "wait s --for 0",
        "beat s",
        "breaker reset s",
        "breaker record s failed",
        "start s --pid 1",
        "succeed s --result 1",
        "fail s",
        "kill s",
        "recover s --for 0",
        "clean s",
        "clean --older-than 0s",
    ] {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('\t', " ")).collect();
        // Whether it succeeds is another question: with a link under its lock's name it must not.
        let _ended = place.dogwatch(words);
    }
}

#[test]
fn no_link_under_any_name_leads_to_a_write_elsewhere() {
    for name in NAMES {
        let victim = Victim::new();
        for (attack, target) in [("a link", &victim.file), ("a dangling link", &victim.missing)] {
            let place = Place::new();
            symlink(target, place.file(name)).expect("a link");
            use_all(&place);
            victim.is_untouched(&format!("{attack} as {name}"));
        }
        let place = Place::new();
        // On another filesystem there are no hard links, and no such attack.
        if std::fs::hard_link(&victim.file, place.file(name)).is_ok() {
            use_all(&place);
            // A beat sets the times of whatever stands there, and nothing else of it.
            if name == "s.heartbeat" {
                assert_eq!(std::fs::read_to_string(&victim.file).expect("it is read"), "precious\n");
            } else {
                victim.is_untouched(&format!("a hard link as {name}"));
            }
        }
    }
}

#[test]
fn a_lock_that_is_a_link_is_refused_in_a_sentence_that_names_it() {
    let (place, victim) = (Place::new(), Victim::new());
    symlink(&victim.file, place.file("s.lock")).expect("a link");
    let ended = place.dogwatch(["run", "s", "--", "true"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (125, 1), "{ended:?}");
    assert!(ended.stderr.contains("s.lock") && ended.stderr.contains("symbolic link"), "{ended:?}");
}

#[test]
fn a_directory_that_others_can_write_is_named_in_a_warning_and_used_all_the_same() {
    for (mode, warns) in [(0o700, false), (0o755, false), (0o775, true), (0o777, true), (0o1777, false)] {
        let place = Place::new();
        // Nothing closed above it, or it would keep everybody out.
        let folder = Path::new("/tmp").join(format!("dogwatch-test-{}-{mode:o}", crate::support::unique()));
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).expect("its mode");
        let shown = folder.to_str().expect("a path");
        let ended = place.dogwatch(["--dir", shown, "run", "s", "--", "true"]);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(ended.code, 0, "{mode:o}: {ended:?}");
        let warned = ended.stderr.contains(shown) && ended.stderr.contains("written by others");
        assert_eq!(warned, warns, "{mode:o}: {ended:?}");
    }
}

#[test]
fn escapes_in_a_log_a_status_or_a_detail_reach_no_terminal() {
    let place = Place::new();
    let script = "printf 'a\\033]0;title\\007\\033[2Jb\\r\\302\\233c\\342\\200\\256d\\n'; exit 1";
    place.dogwatch(["run", "s", "--", "sh", "-c", script]);
    place.write("odd.status", "\x1b[31mDONE\x07\n");
    place.dogwatch(["fail", "told", "--detail", "a\x1b[2Jb"]);
    let dangerous = |text: &str| text.chars().any(|one| one.is_control() && one != '\n' || one == '\u{202e}');
    for line in ["wait s", "wait odd", "wait told", "list", "log s", "wait s --json", "check odd --json", "list --json"]
    {
        let ended = place.dogwatch(line.split(' '));
        assert!(!dangerous(&ended.stderr), "{line}: {ended:?}");
        // A log that is no terminal's is passed on as it is.
        assert!(line == "log s" || !dangerous(&ended.stdout), "{line}: {ended:?}");
    }
}

#[test]
fn no_word_of_a_command_line_or_the_environment_is_read_by_a_shell() {
    let place = Place::new();
    let marked = place.file("shell-ran");
    let word = format!("$(touch {0}) `touch {0}`; touch {0} | tee {0}", marked.display());
    let ended = place.dogwatch(["run", "s", "--", "printf", "%s", &word]);
    assert_eq!((ended.code, place.read("s.log").as_str()), (0, word.as_str()), "{ended:?}");
    assert_eq!(place.meta("s")["command"][2], word.as_str());
    place.dogwatch(["fail", "told", "--detail", &word]);
    place.dogwatch(["wait", "s", "--marker", &word, "--for", "0"]);
    place.dogwatch(["run", &word, "--", "true"]);
    let mut run = place.command(["run", "t", "--", "true"]);
    for name in ["DOGWATCH_STALE", "DOGWATCH_BACKEND", "DOGWATCH_GRACE", "SHELL", "BASH_ENV", "ENV"] {
        run.env(name, &word);
    }
    let _refused = run.output().expect("dogwatch runs");
    assert!(!marked.exists(), "a shell has read it");
    // Documented to be a shell's: the proof that the word would have done it.
    place.dogwatch(["preflight", "--command", &word]);
    assert!(marked.exists());
}
