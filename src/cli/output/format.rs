//! Reports as text for people: one line an outcome, details only on failure. All text of others is sanitized.

use super::styles::Styles;
use crate::decide::policy::STOPPED;
use crate::ops::report::{BreakerStatus, Report};
use crate::record::evidence::TreeProcess;
use crate::record::outcome::{Action, Outcome};
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::units::shown;
use std::collections::BTreeSet;

/// One step's answer in one line.
pub(in crate::cli) fn result_line(report: &Report, styles: Styles) -> String {
    let why = report.detail.as_ref().or(report.result_error.as_ref());
    let why = why.or(report.marker.as_ref().map(|marker| &marker.line)).map(String::as_str);
    let stopped = why.filter(|_| report.outcome == Outcome::Failed).and_then(|why| why.strip_prefix(STOPPED));
    let how = match (report.outcome, &report.signal, report.exit_code) {
        (Outcome::Failed, _, _) if stopped.is_some() => format!(", {STOPPED}"),
        (Outcome::Failed, Some(signal), _) => format!(", ended by {}", sanitize_for_terminal(signal)),
        (Outcome::Failed, None, Some(code)) => format!(", exit code {code}"),
        _ => String::new(),
    };
    // What a dead run left is ended too, but the run itself was not killed.
    let killed = report.killed && report.outcome != Outcome::Died && stopped.is_none();
    let killed = if killed { ", killed" } else { "" };
    let when = match (report.outcome, report.elapsed_ms, report.heartbeat_age_ms) {
        (Outcome::NotStarted, _, _) | (_, None, _) => String::new(),
        (Outcome::Running, Some(elapsed), heartbeat) => {
            let ages = [("heartbeat", heartbeat), ("output", report.output_age_ms)];
            let known = ages.into_iter().filter_map(|(what, age)| Some(format!("{what} {} ago", shown(age?))));
            let known = known.collect::<Vec<_>>().join(", ");
            let ages = if known.is_empty() { known } else { format!(" ({known})") };
            format!(" for {}{ages}", shown(elapsed))
        }
        // It still runs.
        (_, Some(elapsed), _) if report.action == Action::Kill => format!(" for {}", shown(elapsed)),
        (_, Some(elapsed), _) => format!(" after {}", shown(elapsed)),
    };
    let why = stopped.map_or(why, |more| more.strip_prefix("; ")).map(sanitize_for_terminal);
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let state = styles.state(report.outcome, report.state_word());
    format!("{}: {state}{how}{killed}{when}{why}", sanitize_for_terminal(&report.step))
}

/// How many processes of a tree are shown; a person looks for the one that is stuck, not at a build's hundreds.
const SHOWN: usize = 12;
/// How many characters of a command line are shown.
const COMMAND: usize = 80;

/// What stands on standard error beside a line: what the processes did, the log's end, what to do about an open circuit.
pub(in crate::cli) fn details(report: &Report) -> Vec<String> {
    let mut lines = report.evidence.as_deref().map_or_else(Vec::new, process_tree);
    if let (Some(tail), Some(log)) = (&report.log_tail, &report.log)
        && !tail.is_empty()
    {
        lines.push(format!("--- last lines of {} ---", sanitize_for_terminal(log)));
        lines.extend(tail.iter().map(|line| sanitize_for_terminal(line).into_owned()));
    }
    if report.action == Action::Stop
        && let Some(breaker) = report.breaker.as_ref().filter(|breaker| breaker.open)
    {
        lines.push(format!(
            "circuit breaker {} is open after {} failures in a row; close it with: dogwatch breaker reset {0}",
            breaker.name, breaker.consecutive_failures
        ));
    }
    lines
}

/// A tree of processes, children below their parents: number, command, state and what it waits for, processor time.
pub(in crate::cli) fn process_tree(processes: &[TreeProcess]) -> Vec<String> {
    if processes.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["--- what its processes were doing ---".to_owned()];
    let ordered = by_ancestry(processes);
    lines.extend(ordered.iter().take(SHOWN).map(|(depth, process)| {
        let command: String = process.command.chars().take(COMMAND).collect();
        let cut = if command.len() < process.command.len() { "…" } else { "" };
        let why = process.blocked_on.map_or(String::new(), |why| format!("/{why}"));
        let (indent, command) = ("  ".repeat(*depth), sanitize_for_terminal(&command));
        format!("{indent}{} {command}{cut} ({}{why}, cpu {})", process.pid, process.state, shown(process.cpu_ms))
    }));
    if ordered.len() > SHOWN {
        lines.push(format!("and {} more", ordered.len() - SHOWN));
    }
    lines
}

/// Each process once, with its depth, after its parent. A record may come from any writer, and may even make a process its own
/// ancestor: a process that is reached from no top is put at the top.
fn by_ancestry(processes: &[TreeProcess]) -> Vec<(usize, &TreeProcess)> {
    let mut ordered = Vec::with_capacity(processes.len());
    let mut told = BTreeSet::new();
    let is_top = |process: &&TreeProcess| processes.iter().all(|other| other.pid != process.ppid);
    for top in processes.iter().filter(is_top).chain(processes) {
        let mut open = vec![(0, top)];
        while let Some((depth, process)) = open.pop() {
            if told.insert(process.pid) {
                ordered.push((depth, process));
                let children = processes.iter().rev().filter(|child| child.ppid == process.pid);
                open.extend(children.map(|child| (depth + 1, child)));
            }
        }
    }
    ordered
}

/// One breaker in one line.
pub(in crate::cli) fn breaker_line(breaker: &BreakerStatus) -> String {
    let state = if breaker.open { "open" } else { "closed" };
    format!(
        "{}: {state}, {} of {} failures in a row",
        breaker.name, breaker.consecutive_failures, breaker.max_consecutive
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::evidence::{BlockedOn, ProcessState};

    fn process(pid: i32, ppid: i32, command: &str) -> TreeProcess {
        TreeProcess::new(pid, ppid, command.to_owned(), ProcessState::Sleeping, 1240)
    }

    #[test]
    fn children_stand_below_their_parents_and_commands_are_sanitized() {
        let mut reader = process(7, 5, "cat \u{1b}[2J");
        reader.blocked_on = Some(BlockedOn::Stdin);
        let lines =
            process_tree(&[process(5, 1, "sh"), process(6, 5, "sleep"), reader, process(8, 6, &"x".repeat(100))]);
        let long = format!("    8 {}… (sleeping, cpu 1.2s)", "x".repeat(COMMAND));
        let expected = ["5 sh (sleeping, cpu 1.2s)", "  6 sleep (sleeping, cpu 1.2s)", &long];
        assert_eq!(lines[1..4], expected);
        assert_eq!(lines[4], "  7 cat \\u{1b}[2J (sleeping/stdin, cpu 1.2s)");
        assert_eq!(process_tree(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_large_tree_is_cut_and_one_that_runs_in_a_circle_is_told_once() {
        let many: Vec<TreeProcess> = (0..20).map(|number| process(100 + number, 1, "x")).collect();
        let lines = process_tree(&many);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (SHOWN + 2, Some("and 8 more")));
        let circle = [process(5, 6, "a"), process(6, 5, "b"), process(7, 7, "c"), process(5, 6, "again")];
        assert_eq!(process_tree(&circle).len(), 4);
    }
}
