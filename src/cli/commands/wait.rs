//! `dogwatch wait`: answers are printed as they come. `recover` and `run --attach` wait by the same functions.

use super::completions::steps;
use super::tags::TagArgs;
use super::thresholds::{LogTailArgs, ThresholdArgs};
use super::{Args, Context, Error, StepName, Subcommand, defaults, one_of, refuse_if};
use crate::cli::deadline::{CallDeadline, report_interrupt};
use crate::cli::output::progress::ProgressDisplay;
use crate::cli::output::styles::Styles;
use crate::cli::output::{format, notify, print_error, print_stderr};
use crate::decide::policy::{GRACE, POLL_INTERVAL, START_TIMEOUT};
use crate::env_vars;
use crate::exit_code::{ExitCode, of_all, of_signal};
use crate::monitor::{Backend, WaitEnd};
use crate::ops::event::Event;
use crate::ops::report::Report;
use crate::ops::select::MeantSteps;
use crate::ops::wait::{WaitOptions, wait};
use crate::record::outcome::{Outcome, detail_of};
use crate::record::units;
use crate::sys::process::isolated_worker;
use crate::sys::signals::{self, Signal};
use crate::sys::{clock, stdio};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The steps to wait for [default: all that run here, but not the run that calls; none beside --log]
    #[arg(value_name = "STEP", add = steps())]
    steps: Vec<StepName>,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    flags: WaitFlags,
}

/// What `wait` and `recover` take besides the names of steps.
#[derive(Debug, Args)]
pub(super) struct WaitFlags {
    #[command(flatten)]
    pub(super) thresholds: ThresholdArgs,
    /// How long processes have from TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    grace: Option<Duration>,
    /// Only report a hung or overdue run: end nothing, record nothing
    #[arg(long)]
    no_kill: bool,
    /// End a run by `sh -c COMMAND` instead of signals (it gets `DOGWATCH_STEP`, `DOGWATCH_PID` and `DOGWATCH_DIR`): for
    /// work on a cluster or another host, like 'scancel 123'
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_kill")]
    kill_command: Option<OsString>,
    /// The longest this call blocks; then it ends with 75: call it again to go on
    #[arg(long = "for", value_name = "D", value_parser = units::duration)]
    at_most: Option<Duration>,
    /// How long a step may take to start [default: 60s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(super) start_timeout: Option<Duration>,
    /// Wait until all have ended (the default)
    #[arg(long, conflicts_with = "any")]
    all: bool,
    /// Wait until the first has ended, whatever its outcome
    #[arg(long)]
    any: bool,
    /// Wait until all have ended, or one of them without success
    #[arg(long, conflicts_with = "any")]
    fail_fast: bool,
    /// Ignore an outcome that was recorded before this call
    #[arg(long)]
    new: bool,
    /// Succeed (exit 0) as soon as a log line matches, from the log's beginning
    #[arg(long, value_name = "REGEX")]
    marker: Option<String>,
    /// Print only what this group of --marker matched, by its name or number
    #[arg(long, value_name = "NAME", requires = "marker", conflicts_with_all = ["json", "result"])]
    capture: Option<String>,
    /// Fail (exit 1) as soon as a log line matches; it wins over --marker
    #[arg(long, value_name = "REGEX")]
    fail_marker: Option<String>,
    /// The log to search for markers [default: the step's own]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) log: Option<PathBuf>,
    /// How to notice changes [default: auto]
    #[arg(long, value_name = "HOW", value_parser = one_of(&Backend::WORDS))]
    backend: Option<Backend>,
    /// How often to look where there are no events [default: 1s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    poll_interval: Option<Duration>,
    #[command(flatten)]
    policy: ExitPolicy,
    #[command(flatten)]
    pub(super) log_tail: LogTailArgs,
}

/// How `wait`, `recover` and `check` end where they have an answer.
pub(super) const OUTCOME_CODES: &[ExitCode] = &[
    ExitCode::Success,
    ExitCode::Failed,
    ExitCode::Hung,
    ExitCode::Died,
    ExitCode::NotStarted,
    ExitCode::Running,
    ExitCode::Timeout,
];

impl Subcommand for WaitArgs {
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Block until steps end, and say how they ended";
    const EXAMPLES: &'static [&'static str] = &[
        "dogwatch wait build test --for 9m --json",
        "dogwatch wait server --marker 'listening on' --fail-marker 'panic|EADDRINUSE' && curl localhost:8080",
    ];
    const NOTES: &'static str = "Of several steps the worst outcome decides.";
    const EXIT_CODES: &'static [ExitCode] = &[
        ExitCode::Success,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::Hung,
        ExitCode::Died,
        ExitCode::NotStarted,
        ExitCode::Running,
        ExitCode::Timeout,
        ExitCode::InternalError,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let only_log = self.flags.log.is_some() && self.tags.tags.is_empty();
        let steps = if only_log { self.steps } else { self.tags.steps(self.steps, MeantSteps::Running, context)? };
        let options = options(steps, &self.flags, context)?;
        wait_within_deadline(&options, self.flags.exit_policy(), context)
    }
}

impl WaitFlags {
    pub(super) fn exit_policy(&self) -> ExitPolicy {
        ExitPolicy { capture: self.capture.clone(), ..self.policy.clone() }
    }
}

/// A wait with these thresholds and the environment's defaults.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the environment does not fit.
pub(super) fn base_options(
    thresholds: ThresholdArgs,
    grace: Option<Duration>,
    context: &Context,
) -> Result<WaitOptions, Error> {
    let grace = defaults::duration(grace, env_vars::GRACE)?.unwrap_or(GRACE);
    let mut options = WaitOptions::new(defaults::directory(context)?).grace(grace);
    thresholds.set(&mut options.monitor.thresholds)?;
    Ok(options)
}

/// What `wait` and `recover` are asked for.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where flags contradict each other or the environment does not fit.
pub(super) fn options(steps: Vec<StepName>, flags: &WaitFlags, context: &Context) -> Result<WaitOptions, Error> {
    let several = steps.iter().any(|step| *step != steps[0]);
    let start_timeout = defaults::duration(flags.start_timeout, env_vars::START_TIMEOUT)?.unwrap_or(START_TIMEOUT);
    let poll_interval = defaults::duration(flags.poll_interval, env_vars::POLL_INTERVAL)?.unwrap_or(POLL_INTERVAL);
    refuse_if(poll_interval.is_zero(), "a poll interval of 0 would never sleep; use one like 1s")?;
    let backend = defaults::or_variable(flags.backend, env_vars::BACKEND, str::parse)?.unwrap_or(Backend::Auto);
    let mut options = base_options(flags.thresholds, flags.grace, context)?
        .steps(steps)
        .kill(!flags.no_kill)
        .at_most(flags.at_most)
        .start_timeout(start_timeout)
        // `--all` is the default; it is there to be said.
        .any(flags.any && !flags.all)
        .fail_fast(flags.fail_fast)
        .ignore_existing(flags.new)
        .log_tail(flags.log_tail.log_tail)
        .backend(backend)
        .poll_interval(poll_interval);
    if let Some(command) = &flags.kill_command {
        refuse_if(command.is_empty(), "--kill-command is empty; name a command, or use --no-kill to end nothing")?;
        options = options.kill_command(command);
    }
    refuse_if(several && flags.policy.propagate, "--propagate passes on one step's exit code; name one step")?;
    add_markers(options, flags, several)
}

/// What is searched for, in which log.
fn add_markers(mut options: WaitOptions, flags: &WaitFlags, several: bool) -> Result<WaitOptions, Error> {
    if let Some(regex) = &flags.marker {
        options = options.marker(regex)?;
    }
    if let Some(regex) = &flags.fail_marker {
        options = options.fail_marker(regex)?;
    }
    if let Some(group) = flags.capture.as_ref().filter(|group| !options.patterns.has_group(group)) {
        return Err(Error::invalid_options(format!(
            "--capture {group:?} is no group of --marker; name one of its groups, written (?<name>...), or give its number"
        )));
    }
    let Some(log) = &flags.log else { return Ok(options) };
    refuse_if(options.patterns.is_empty(), "--log names a log to search; say for what with --marker REGEX")?;
    refuse_if(log.as_os_str().is_empty(), "--log is empty; name a file")?;
    refuse_if(several, "--log is one step's log; name one step, or none")?;
    Ok(options.log(log))
}

/// Which exit code a wait ends with, and what it prints.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ExitPolicy {
    /// End with COMMAND's own exit code where it is known (one step); under --for its 75 becomes 1
    #[arg(long)]
    pub(super) propagate: bool,
    /// At the end ring the terminal's bell and send a desktop notification (OSC 9), where standard error is a terminal
    #[arg(long)]
    pub(super) notify: bool,
    /// Print only the result's JSON
    #[arg(long, conflicts_with = "json")]
    pub(super) result: bool,
    // The group of the marker that is printed alone. It stands beside --marker in the help, and is copied from there.
    #[arg(skip)]
    pub(super) capture: Option<String>,
    // What the answer says besides.
    #[arg(skip)]
    pub(super) remark: Option<String>,
}

/// Waits, also where the filesystem may not answer; the exit code.
///
/// # Errors
/// There can be no answer.
pub(super) fn wait_within_deadline(options: &WaitOptions, policy: ExitPolicy, context: &Context) -> Result<u8, Error> {
    if let Some(at_most) = options.at_most {
        stdio::set_deadline(clock::now().plus(at_most));
    }
    let wants_notification = policy.notify;
    let code =
        CallDeadline::of_wait(options).run_within(context, || Ok(wait_and_print(options, policy, context)?.0))?;
    if wants_notification {
        let steps: Vec<&str> = options.monitor.steps.iter().map(StepName::as_str).collect();
        notify(&format!("dogwatch: {}: {}", steps.join(" "), ExitCode::describe(code)));
    }
    Ok(code)
}

/// Waits and prints each answer as it comes; the exit code, and what was printed.
///
/// # Errors
/// There can be no answer.
pub(super) fn wait_and_print(
    options: &WaitOptions,
    policy: ExitPolicy,
    context: &Context,
) -> Result<(u8, Vec<Report>), Error> {
    // An answer that waits for `fg` would come too late for what follows it: `wait build && deploy &`.
    signals::survive_terminal_output();
    let mut printer = Printer { context, policy, live: ProgressDisplay::new(&context.out), reports: Vec::new() };
    let options = options.clone().progress(printer.live.wanted);
    let end = wait(&options, &mut |event| printer.on_event(event));
    printer.live.erase();
    if let WaitEnd::Interrupted(signal) = end? {
        // Without what it searches for, the wait would be another one.
        let steps = if options.patterns.is_empty() { options.monitor.steps.as_slice() } else { &[] };
        return Ok((report_interrupt(signal, steps, context), printer.reports));
    }
    let outcomes = printer.reports.iter().map(|report| report.outcome);
    // With --fail-fast a bad outcome has ended the call, and would end the next one at once.
    let is_cut_short = options.fail_fast && outcomes.clone().any(Outcome::is_bad_end);
    let mut code = of_all(outcomes, options.at_most.is_some() && !is_cut_short).code();
    if printer.policy.propagate
        && let [report @ Report { outcome: Outcome::Success | Outcome::Failed, .. }] = printer.reports.as_slice()
    {
        let own = command_exit_code(report);
        // Of a run that ended well before a line matched, 0 would be the wrong answer; and a caller that calls again for 75
        // would call for ever.
        let misleads =
            |own: &u8| *own == 0 && code != 0 || options.at_most.is_some() && *own == ExitCode::Running.code();
        code = own.filter(|own| !misleads(own)).unwrap_or(code);
    }
    Ok((code, printer.reports))
}

/// Prints what a wait reports.
struct Printer<'call> {
    context: &'call Context,
    policy: ExitPolicy,
    live: ProgressDisplay,
    /// What was printed.
    reports: Vec<Report>,
}

impl Printer<'_> {
    fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::Answer(report) => self.print_answer(*report),
            Event::Progress(steps, more) => self.live.draw(steps, more),
            Event::Idle(longest) => isolated_worker::report_idle(longest),
            Event::Diagnostic(line) if self.context.out.verbose > 0 => self.print_line(line),
            Event::Warning(line) => self.print_line(line),
            Event::Diagnostic(_) | Event::Started(_) | Event::Evidence(_) => {}
        }
    }

    fn print_line(&mut self, line: &str) {
        self.live.erase();
        print_error(line);
    }

    fn print_answer(&mut self, mut report: Report) {
        self.live.erase();
        report.detail = detail_of(self.policy.remark.clone().into_iter().chain(report.detail));
        if self.policy.result {
            let result = report.result.as_ref().map(|result| result.get());
            self.print_only(result, &report);
        } else if let Some(group) = &self.policy.capture {
            let captures = report.marker.as_ref().map(|marker| &marker.captures);
            let captured = captures.map(|all| all.get(group).cloned().flatten().unwrap_or_default());
            self.print_only(captured.as_deref(), &report);
        } else {
            self.context.out.print_answer(&report);
        }
        isolated_worker::report_answered(&report.step);
        self.reports.push(report);
    }

    /// Prints one fact alone; without it, or where the step has not ended well, the answer goes to standard error.
    fn print_only(&self, fact: Option<&str>, report: &Report) {
        if let Some(fact) = fact {
            self.context.out.print_line(fact);
        }
        if fact.is_none() || !matches!(report.outcome, Outcome::Success | Outcome::Marker) {
            for line in format::details(report) {
                print_stderr(&line);
            }
            print_error(&format::result_line(report, Styles::PLAIN));
        }
    }
}

/// COMMAND's own code as a shell would report it.
fn command_exit_code(report: &Report) -> Option<u8> {
    if let Some(code) = report.exit_code {
        return u8::try_from(code).ok();
    }
    let signal = report.signal.as_deref()?;
    let number = match signal.parse::<Signal>() {
        Ok(signal) => signal as i32,
        // Real-time signals are recorded as SIG and their number.
        Err(_) => signal.strip_prefix("SIG")?.parse().ok()?,
    };
    Some(of_signal(number))
}
