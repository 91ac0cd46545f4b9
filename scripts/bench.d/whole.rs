//! Whole commands: `run -- true` against a script that writes the same files, `list`, `preflight`, and the size.
//!
//! The script is what a careful person writes for bash: every file under a temporary name and then renamed, output in a
//! log, a heartbeat in the background. It skips no file.

use super::report::{Limit, Report, Sample};
use super::setup::{DOGWATCH, Done, Got, Process, Setup, dogwatch, monotonic, quiet, stamps_in};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Writes the files that `dogwatch run` writes: pid, heartbeat, lock, meta at the start and at the end, log, result, status.
const WRAPPER: &str = r#"
d=$1; s=$2; shift 2
publish() { printf '%s\n' "$2" >"$d/.$s.$$" && mv "$d/.$s.$$" "$d/$s.$1"; }
exec 9>"$d/$s.lock"; flock -n 9 || exit 125
: >"$d/$s.heartbeat"
publish meta "{\"schema\":1,\"pid\":$$,\"command\":\"$*\"}"
publish pid "$$"
while sleep 10; do : >"$d/$s.heartbeat"; done 9>&- &
beat=$!
"$@" >"$d/$s.log" 2>&1 </dev/null 9>&-
code=$?
kill "$beat"
if [ "$code" = 0 ]; then word=SUCCESS; publish result "{\"exit_code\":0}"; else word=FAILED; fi
publish meta "{\"schema\":1,\"pid\":$$,\"command\":\"$*\",\"exit_code\":$code}"
publish status "$word"
exit "$code"
"#;

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    run_true(setup, report)?;
    to_exec(setup, report)?;
    list(setup, report)?;
    preflight(setup, report)?;
    let size = std::fs::metadata(DOGWATCH)?.len() as f64 / 1e6;
    report.held("the stripped binary", size, Limit::AtMost(3.0), "MB");
    Ok(())
}

fn timed(command: &mut Command, sample: &mut Sample) -> Done {
    let began = Instant::now();
    let status = Process::start(command)?.wait()?;
    sample.push(began.elapsed());
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

fn run_true(setup: &Setup, report: &mut Report) -> Done {
    let (mut own, mut theirs) = (Sample::new(), Sample::new());
    for _ in 0..setup.rounds(100, 5) {
        let place = setup.place("true")?;
        timed(&mut dogwatch(&place, &["run", "s", "--", "true"]), &mut own)?;
        let place = setup.place("true")?;
        timed(quiet("bash").args(["-c", WRAPPER, "bash"]).arg(&place).args(["s", "true"]), &mut theirs)?;
        let left: Vec<_> = ["pid", "heartbeat", "lock", "meta", "log", "result", "status"]
            .into_iter()
            .filter(|suffix| !place.join(format!("s.{suffix}")).exists())
            .collect();
        if !left.is_empty() {
            return Err(format!("the script wrote no {}", left.join(", ")).into());
        }
    }
    let ratio = own.median() / theirs.median();
    report.latency("whole", "dogwatch run -- true", own);
    report.latency("whole", "bash wrapper of the same files, true", theirs);
    report.held("run -- true over a bash wrapper that writes the same files, medians", ratio, Limit::AtMost(1.0), "x");
    Ok(())
}

/// From before the spawn to COMMAND's first line, which notes the time; and the same by fork and exec in C.
fn to_exec(setup: &Setup, report: &mut Report) -> Done {
    let (mut own, mut theirs) = (Sample::new(), Sample::new());
    for _ in 0..setup.rounds(300, 5) {
        let place = setup.place("exec")?;
        let stamps = place.join(".stamps");
        let begin = |mut command: Command, sample: &mut Sample| -> Done {
            std::fs::write(&stamps, [0; 16])?;
            let began = monotonic()?;
            let status = Process::start(command.arg(&setup.floor).arg("-j").arg(&stamps).arg("/dev/null"))?.wait()?;
            let [started, _] = stamps_in(&stamps)?;
            sample.push(Duration::from_nanos(u64::try_from(started - began)?));
            if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
        };
        begin(dogwatch(&place, &["run", "s", "--"]), &mut own)?;
        let mut forked = quiet(&setup.floor);
        forked.arg("-x");
        begin(forked, &mut theirs)?;
    }
    let (median, ratio) = (own.median() / 1e3, own.median() / theirs.median());
    report.latency("whole", "dogwatch run, start to COMMAND's exec", own);
    report.latency("whole", "fork and exec in C, the same", theirs);
    // Either will do: what a start costs depends on the machine.
    report.held(
        "run: start to COMMAND's exec, of 1.5 ms or 3 x C's fork and exec",
        (median / 1.5).min(ratio / 3.0),
        Limit::AtMost(1.0),
        "x",
    );
    Ok(())
}

/// Ten thousand steps that `dogwatch run` has ended, and as many that run under a plain shell.
fn list(setup: &Setup, report: &mut Report) -> Done {
    let count = setup.rounds(10_000, 1_000);
    let model = setup.place("model")?;
    dogwatch(&model, &["run", "s", "--", "echo", "done"]).status()?;
    let ended = setup.place("ended")?;
    for step in 0..count {
        copy_step(&model, &ended, step)?;
    }
    let running = setup.place("running")?;
    for step in 0..count {
        std::fs::write(running.join(format!("s{step}.heartbeat")), "")?;
        std::fs::write(running.join(format!("s{step}.pid")), format!("{}\n", std::process::id()))?;
    }
    let (mut of_ended, mut of_running) = (Sample::new(), Sample::new());
    for _ in 0..setup.rounds(20, 3) {
        timed(&mut dogwatch(&ended, &["list"]), &mut of_ended)?;
        timed(&mut dogwatch(&running, &["list"]), &mut of_running)?;
    }
    for (what, sample) in [("ended", of_ended), ("running", of_running)] {
        let median = sample.median() / 1e3;
        report.latency("whole", &format!("dogwatch list, {count} {what} steps"), sample);
        report.held(&format!("list, {count} {what} steps, median"), median, Limit::AtMost(250.0), "ms");
    }
    Ok(())
}

/// A step's files under another name, each with its own time: the record says when the pid file was written.
fn copy_step(model: &Path, place: &Path, step: usize) -> Got<()> {
    for suffix in ["pid", "heartbeat", "lock", "log", "result", "meta", "status"] {
        let (from, to) = (model.join(format!("s.{suffix}")), place.join(format!("s{step}.{suffix}")));
        let modified = std::fs::metadata(&from)?.modified()?;
        std::fs::copy(&from, &to)?;
        std::fs::File::options().append(true).open(&to)?.set_modified(modified)?;
    }
    Ok(())
}

/// An environment of 2,000 console scripts. None is started: their first lines are looked at.
fn preflight(setup: &Setup, report: &mut Report) -> Done {
    let project = setup.place("project")?;
    let made = quiet("python3").args(["-m", "venv", "--without-pip"]).arg(project.join(".venv")).status();
    if !made.is_ok_and(|status| status.success()) {
        report.remark("python3 makes no venv here, so preflight was not measured");
        return Ok(());
    }
    let bin = project.join(".venv/bin");
    let python = bin.join("python").display().to_string();
    for script in 0..2_000 {
        let path = bin.join(format!("tool{script}"));
        std::fs::write(&path, format!("#!{python}\nimport sys\nfrom tool{script} import main\nsys.exit(main())\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    let mut sample = Sample::new();
    for _ in 0..setup.rounds(20, 3) {
        timed(dogwatch(&project, &["preflight", "--venv", ".venv"]).current_dir(&project), &mut sample)?;
    }
    let median = sample.median() / 1e3;
    report.latency("whole", "dogwatch preflight, 2000 scripts", sample);
    report.held("preflight, 2000 console scripts, median", median, Limit::Under(100.0), "ms");
    Ok(())
}
