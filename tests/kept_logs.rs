//! The log that `run` keeps: bounded through rotation and truncation, no other file touched, no zero lost, a full disk said.

#![cfg(target_os = "linux")]

use crate::support::servers::Tmpfs;
use crate::support::{Ended, Place, Running, until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

/// A run with a small bound, in its own folder; COMMAND goes on when `go` is there.
fn bounded(place: &Place, script: &str) -> Running {
    Running::start(place.through(&["env"], ["run", "s", "--log-max", "1MiB", "--", "bash", "-c", script]))
}

fn disk(place: &Place, name: &str) -> u64 {
    fs::metadata(place.file(name)).map_or(0, |log| log.blocks() * 512)
}

const WAITS: &str = "wait_for() { until [ -e $1 ]; do sleep 0.02; done; }; out() { yes 'a line of a log, of some length' | head -c $1; };";

#[test]
fn the_bound_holds_through_truncation_and_rotation() {
    let place = Place::new();
    let run = bounded(
        &place,
        &format!("{WAITS} out 30000000; wait_for cut; out 40000000; wait_for moved; out 30000000; wait_for end"),
    );
    let within = |name: &str| disk(&place, name) <= 1_300_000;
    let written = |name: &str, size: u64| fs::metadata(place.file(name)).is_ok_and(|log| log.size() >= size);
    until("the first part is written and bounded", || written("s.log", 30_000_000) && within("s.log"));
    // As logrotate's copytruncate: the file is cut, and grows past where it was.
    fs::File::options().write(true).truncate(true).open(place.file("s.log")).expect("it is cut");
    place.write("cut", "");
    until("the second part is written and bounded", || written("s.log", 40_000_000) && within("s.log"));
    // As logrotate's create: COMMAND writes on into the old file.
    fs::rename(place.file("s.log"), place.file("s.log.1")).expect("it is moved");
    place.write("s.log", "a new log, of nobody's run\n");
    place.write("moved", "");
    until("the third part is written and bounded", || written("s.log.1", 70_000_000) && within("s.log.1"));
    place.write("end", "");
    assert_eq!(run.end_at_all().code, 0);
    assert_eq!(place.read("s.log"), "a new log, of nobody's run\n");
}

#[test]
fn only_the_file_that_run_made_is_punched() {
    let place = Place::new();
    let precious = "PRECIOUS LINE\n".repeat(200_000);
    place.write("victim", &precious);
    for (step, swap) in
        [("link", "ln -sfn victim s.log"), ("hard", "ln -f victim s.log"), ("copy", "cp victim v && mv v s.log")]
    {
        let run = bounded(&place, &format!("{WAITS} echo begun; {swap}; out 5000000; wait_for go-{step}"));
        until("it runs", || place.file("s.pid").exists());
        until("the bound was looked at", || {
            // Two looks at 50 ms each have passed when the run is that old.
            place.wait_json("s", &["--for", "0"])["elapsed_ms"].as_u64() > Some(400)
        });
        place.write(&format!("go-{step}"), "");
        assert_eq!(run.end_at_all().code, 0, "{step}");
        assert!(place.read("victim") == precious, "{step}: it was written to");
        assert!(place.read("s.log") == precious, "{step}");
    }
}

#[test]
fn zeros_that_command_writes_are_passed_on_and_a_hole_is_not() {
    let place = Place::new();
    let input = [vec![b'A'; 65_536], vec![0; 300_000], vec![b'B'; 65_536], vec![0; 131_072]].concat();
    fs::write(place.file("in"), &input).expect("a file");
    let plain = place
        .through(&["env"], ["run", "s", "--tee", "--", "cat", "in"])
        .stderr(Stdio::null())
        .output()
        .expect("it runs");
    assert!(plain.stdout == input, "{} of {} bytes through --tee", plain.stdout.len(), input.len());
    let log = place.command(["log", "s"]).output().expect("it runs");
    assert!(log.stdout == input, "{} of {} bytes by log", log.stdout.len(), input.len());
    let last = place.command(["log", "s", "-n", "1"]).output().expect("it runs");
    assert!(last.stdout == input, "{} of {} bytes: all is one line", last.stdout.len(), input.len());
    let script =
        "cat in; until [ -e go ]; do sleep 0.02; done; printf 'A\\0\\0\\0B'; head -c 70000 /dev/zero; printf END";
    let run = Running::start(place.through(&["env"], ["run", "f", "--", "sh", "-c", script]));
    until("the log has the zeros", || {
        fs::metadata(place.file("f.log")).is_ok_and(|log| log.len() == input.len() as u64)
    });
    let follower = Running::start(place.command(["log", "f", "-f"]));
    until("it follows", || follower.open_files().iter().any(|file| file.ends_with("f.log")));
    place.write("go", "");
    assert_eq!(run.end_at_all().code, 0);
    let whole = [&input[..], b"A\0\0\0B", &vec![0; 70_000], b"END"].concat();
    let followed = follower.end();
    assert!(followed.stdout.as_bytes() == whole, "{} of {} bytes by log -f", followed.stdout.len(), whole.len());
    let run = bounded(&place, &format!("{WAITS} out 20000000; echo; echo END"));
    assert_eq!(run.end_at_all().code, 0);
    let log = place.command(["log", "s"]).output().expect("it runs").stdout;
    assert!(
        !log.contains(&0) && log.ends_with(b"END\n") && log.trim_ascii_start().starts_with(b"[dogwatch: "),
        "{} bytes",
        log.len()
    );
}

#[test]
fn a_log_that_a_full_disk_cut_short_is_said() {
    let fill = "dd if=/dev/zero of=$DOGWATCH_DIR/filler bs=1k 2> /dev/null; seq 1 100000; exit $1";
    for code in ["0", "7"] {
        let place = Place::new();
        let Some(_disk) = Tmpfs::over(place.path(), "size=256k") else { return };
        let run = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", fill, "sh", code]);
        assert_eq!(run.code.to_string(), code, "{run:?}");
        assert!(run.stderr.contains("disk") && run.stderr.contains("log"), "{run:?}");
        let report = place.wait_json("s", &[]);
        assert!(report["detail"].as_str().is_some_and(|detail| detail.contains("disk was full")), "{report}");
        let place = Place::new();
        let Some(_disk) = Tmpfs::over(place.path(), "size=2m") else { return };
        let run = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", "seq 1 1000; exit $1", "sh", code]);
        assert_eq!(run.code.to_string(), code, "{run:?}");
        assert_eq!(place.wait_json("s", &[])["detail"], Value::Null);
    }
}

#[test]
fn a_log_that_lost_its_middle_to_a_full_disk_is_said_whoever_ran_it() {
    // A wrapper looks for room at its beats, so the disk stays full for one that begins after it was filled.
    let fill = "beaten() { stat -c %.9Y $DOGWATCH_HEARTBEAT; }; beat() { b=$(beaten); while [ $(beaten) = $b ]; do :; done; }; \
        dd if=/dev/zero of=$DOGWATCH_DIR/filler bs=1k 2> /dev/null; seq 1 100000; beat; beat; rm $DOGWATCH_DIR/filler; echo LAST";
    for more in [&["--log-max", "64K"][..], &["--log", "stdout"], &["-d"], &["--tee"]] {
        let place = Place::new();
        let Some(_disk) = Tmpfs::over(place.path(), "size=256k") else { return };
        let run = ["run", "s", "--heartbeat-interval", "20ms"]
            .into_iter()
            .chain(more.iter().copied())
            .chain(["--", "sh", "-c", fill]);
        assert_eq!(place.dogwatch(run).code, 0, "{more:?}");
        let report = place.wait_json("s", &[]);
        assert_eq!(report["outcome"], "success", "{more:?}: {report}");
        let detail = report["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("disk was full") && detail.contains("log may be incomplete"), "{more:?}: {report}");
        assert!(place.read("s.log").ends_with("LAST\n"), "{more:?}: what came after it is there");
    }
}

#[test]
fn a_command_line_of_megabytes_leaves_a_record_that_can_be_read() {
    let place = Place::new();
    // Control characters take six bytes each in JSON; one argument may have 128 KiB.
    let long = "\u{1}".repeat(120_000);
    let mut arguments = vec!["run", "s", "--no-breaker", "--max-timeout", "1h", "--", "true"];
    arguments.extend([long.as_str(); 8]);
    let run = place.dogwatch(arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let size = fs::metadata(place.file("s.meta")).expect("a record").len();
    assert!(size <= 1 << 20, "{size}");
    let meta = place.meta("s");
    assert_eq!(
        (&meta["command"][0], &meta["breaker"], &meta["max_timeout_ms"]),
        (&"true".into(), &Value::Null, &3_600_000.into())
    );
    assert_eq!(place.wait_json("s", &[])["run_id"], meta["run_id"]);
}

#[test]
fn whatever_a_record_holds_it_stays_short_enough_to_be_read() {
    let place = Place::new();
    let long = "\u{1}".repeat(120_000);
    assert_eq!(place.dogwatch(["fail", "detail", "--detail", &long]).code, 0);
    // As deep as a path can be named.
    let deep = place.file(&vec!["d".repeat(200); 18].join("/"));
    fs::create_dir_all(&deep).expect("a folder");
    let cwd = deep.to_str().expect("a name");
    assert_eq!(place.dogwatch(["run", "cwd", "--cwd", cwd, "--", "false"]).code, 1);
    let tags: Vec<String> = (0..64).map(|number| format!("{number:0>100}")).collect();
    let tagged = |tags: &[String]| {
        let flags = tags.iter().flat_map(|tag| ["--tag", tag]);
        place.dogwatch(["run", "tags", "--no-breaker"].into_iter().chain(flags).chain(["--", "false"]))
    };
    assert_eq!(tagged(&tags).code, 1);
    for step in ["detail", "cwd", "tags"] {
        let size = fs::metadata(place.file(&format!("{step}.meta"))).expect("a record").len();
        assert!(size <= 1 << 17, "{step}: {size}");
        let report = place.wait_json(step, &[]);
        assert_eq!((&report["outcome"], &report["run_id"]), (&"failed".into(), &place.meta(step)["run_id"]), "{step}");
    }
    let before = place.snapshot();
    let refused = tagged(&[tags, vec!["one-more".to_owned()]].concat());
    crate::support::is_refused(&refused, 2, &["64 tags", "65"]);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_run_that_cannot_be_started_leaves_the_log_of_the_run_before() {
    if !crate::support::servers::has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    // The first pair of sockets is that of the signals, the second the one that holds COMMAND.
    for (fault, calls) in [
        ("EAGAIN", "clone,clone3,fork,vfork"),
        ("EMFILE:when=2+", "socketpair"),
        ("ENOSPC", "fallocate,ftruncate,pwrite64"),
    ] {
        assert_eq!(place.dogwatch(["run", "s", "--", "sh", "-c", "echo precious; echo 4 > $DOGWATCH_RESULT"]).code, 0);
        let before = place.read("s.log");
        let inject = format!(
            "inject={}:error={fault}",
            calls.split(',').map(|call| format!("?{call}")).collect::<Vec<_>>().join(",")
        );
        let run = place.through(
            &["strace", "-qq", "-f", "-o", "/dev/null", "-e", &inject],
            ["run", "s", "--log", "none", "--", "true"],
        );
        let refused = Ended::of(&{ run }.output().expect("it runs"));
        if refused.code == 125 {
            assert_eq!(place.read("s.log"), before, "{fault}: {refused:?}");
            assert_eq!(place.wait_json("s", &[])["result"], 4, "{fault}");
        }
        let run = place.through(&["strace", "-qq", "-f", "-o", "/dev/null", "-e", &inject], ["run", "s", "--", "true"]);
        let refused = Ended::of(&{ run }.output().expect("it runs"));
        assert_eq!(refused.code == 125, place.read("s.log") == before, "{fault}: {refused:?}");
        assert!(refused.code == 125 || fault == "ENOSPC", "{fault}: {refused:?}");
    }
}
