//! `dogwatch run`: in the foreground, detached, or attached to a run that is there already.

use super::breaker::breaker_name;
use super::completions::steps;
use super::one_call::{JOINED, note_other};
use super::run_listener::{RunListener, refusal_code, run_detached};
use super::thresholds::ThresholdArgs;
use super::wait::{ExitPolicy, base_options, wait_and_print};
use super::{Context, Error, ExitCode, Meanings, StepName, Subcommand, defaults, one_call, one_of, refuse_if};
use crate::cli::output::format;
use crate::cli::output::styles::Styles;
use crate::decide::policy::{GRACE, HEARTBEAT_INTERVAL};
use crate::env_vars;
use crate::ops::check::CheckOptions;
use crate::ops::directory::directory_to_start_in;
use crate::ops::report::Report;
use crate::ops::run::RunOptions;
use crate::record::outcome::Outcome;
use crate::record::units;
use crate::runner::{HeartbeatOn, LogStreams, ResultFrom};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The step's name
    #[arg(add = steps())]
    step: StepName,
    /// The program to run, and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    /// How often to send a heartbeat [default: 10s, or a third of --stale]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    heartbeat_interval: Option<Duration>,
    /// What a heartbeat means: COMMAND lives, its log grows, its processes do anything, or only COMMAND itself sends it
    #[arg(long, value_name = "WHAT", default_value = "process", value_parser = one_of(&HeartbeatOn::WORDS))]
    heartbeat_on: HeartbeatOn,
    /// Which streams go to the log; the others stay this terminal's
    #[arg(long, value_name = "STREAMS", default_value = "both", value_parser = one_of(&LogStreams::WORDS))]
    log: LogStreams,
    /// Also pass the logged output through, in order
    #[arg(long)]
    tee: bool,
    /// How much disk the log may use; beyond it the oldest part is deleted (0: no limit) [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    log_max: Option<u64>,
    /// Where the result comes from
    #[arg(long, value_name = "FROM", default_value = "auto", value_parser = one_of(&ResultFrom::WORDS))]
    result: ResultFrom,
    /// End the run after this long, whether or not a `wait` runs (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    max_timeout: Option<Duration>,
    /// End the run when its heartbeat is this old, whether or not a `wait` runs (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    stale: Option<Duration>,
    /// How long processes have from TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    grace: Option<Duration>,
    /// Do not end the processes that COMMAND leaves running
    #[arg(long)]
    keep_children: bool,
    /// A variable for COMMAND, as NAME=VALUE; repeatable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    env: Vec<(String, String)>,
    /// The folder to run COMMAND in [default: this one]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    cwd: Option<PathBuf>,
    /// COMMAND's standard input
    #[arg(long, value_name = "WHICH", default_value = "null")]
    stdin: Stdin,
    /// Return as soon as COMMAND runs, and print the pid; the work goes on by itself
    #[arg(short, long, conflicts_with_all = ["tee"])]
    detach: bool,
    /// Start the work detached, or join the run that is there, and wait this long; ends as `wait` does: 75 means call again
    #[arg(long = "for", value_name = "D", value_parser = units::duration, conflicts_with_all = ["tee", "detach", "attach"])]
    at_most: Option<Duration>,
    /// A word by which the run can be chosen; repeatable [default: `$DOGWATCH_TAG`]
    #[arg(long = "tag", value_name = "TAG", value_parser = defaults::tag)]
    tags: Vec<StepName>,
    /// Where the step runs already, wait for that run instead of failing
    #[arg(long)]
    attach: bool,
    /// The circuit breaker that counts this run [default: the step's own]
    #[arg(long, value_name = "NAME", value_parser = breaker_name, add = steps(), conflicts_with = "no_breaker")]
    breaker: Option<StepName>,
    /// How many failures in a row open the breaker (0: never) [default: 3]
    #[arg(long, value_name = "N", value_parser = units::whole::<u32>)]
    max_consecutive: Option<u32>,
    /// Start even if the circuit breaker is open, and do not count this run
    #[arg(long)]
    no_breaker: bool,
    /// Run the checks of the project's preflight.toml first, and start nothing if one fails
    #[arg(long)]
    preflight: bool,
    /// How long after its last failure an open breaker lets one run start [default: never]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    cooldown: Option<Duration>,
}

/// `--env`.
fn assignment(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is no assignment; write it as NAME=VALUE")),
    }
}

/// `--stdin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stdin {
    /// /dev/null
    Null,
    /// The standard input of this process
    Inherit,
}

impl Subcommand for RunArgs {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Run COMMAND as a step: log, heartbeat, status, result";
    const EXAMPLES: &'static [&'static str] = &[
        "dogwatch run build --for 9m -- cargo build --release",
        "dogwatch run build --max-timeout 30m -- cargo build --release",
    ];
    const NOTES: &'static str = "Ends with COMMAND's own exit code, 128 + n where signal n ended it. With --for it \
        ends as `wait` does: repeat the same line while it ends with 75; it starts the work once, and tells its end \
        even if that came between two calls.";
    const EXIT_CODES: &'static [ExitCode] = &[
        ExitCode::Hung,
        ExitCode::CircuitOpen,
        ExitCode::Running,
        ExitCode::Timeout,
        ExitCode::InternalError,
        ExitCode::NotExecutable,
        ExitCode::NotFound,
    ];
    const MEANINGS: Meanings = &[(ExitCode::Running, "still running (`--for` only): call again")];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let options = self.options(context)?;
        if let Some(at_most) = self.at_most {
            return one_call::exec(options, self.thresholds(), self.grace, at_most, context);
        }
        if self.detach {
            return self.exec_detached(options, context);
        }
        let for_people = !context.out.quiet && !context.out.json;
        let mut listener = RunListener::new(self.step.as_str(), for_people);
        match options.run_with(&mut |event| listener.on_event(&event)) {
            Ok(ran) => {
                if let Some(fault) = &ran.fault {
                    listener.print_error(fault);
                }
                if context.out.json {
                    let mut report = self.report(&options)?;
                    report.killed = matches!(ran.outcome, Outcome::Hung | Outcome::Timeout);
                    context.out.print_json(&report);
                } else if ran.outcome != Outcome::Success && ran.fault.is_none() && for_people {
                    self.print_failure(&options, &mut listener);
                }
                Ok(ran.exit_code)
            }
            Err(error) if self.attach && self.is_running(refusal_code(&error), &options) => {
                let command = self.report(&options).ok().and_then(|report| report.command).unwrap_or_default();
                let policy = ExitPolicy { propagate: true, ..note_other(&options, &command, JOINED, context) };
                let wait = base_options(self.thresholds(), self.grace, context)?.step(self.step);
                wait_and_print(&wait, policy, context).map(|(code, _reports)| code)
            }
            Err(error) => Err(error),
        }
    }
}

impl RunArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// `ErrorKind::InvalidOptions` where two flags contradict each other or the environment does not fit.
    fn options(&self, context: &Context) -> Result<RunOptions, Error> {
        let stale = defaults::duration(self.stale, env_vars::STALE)?;
        refuse_if(
            (self.result, self.log) == (ResultFrom::Stdout, LogStreams::Stdout),
            "--result stdout takes COMMAND's standard output, so --log stdout has nothing to log; use --log stderr",
        )?;
        refuse_if(
            (self.heartbeat_on, self.log) == (HeartbeatOn::Output, LogStreams::None),
            "--heartbeat-on output beats while the log grows, and --log none keeps none; use --heartbeat-on activity",
        )?;
        let inherits_stdin = self.stdin == Stdin::Inherit;
        refuse_if(
            (self.detach || self.at_most.is_some()) && inherits_stdin && io::stdin().is_terminal(),
            "--stdin inherit with --detach takes a pipe or a file: a detached run has no terminal to read from",
        )?;
        let directory = defaults::directory_or(context.dir.as_deref(), directory_to_start_in)?;
        let breaker = self.breaker.as_ref().unwrap_or(&self.step).clone();
        let mut options = RunOptions::new(directory, self.step.clone(), &self.command)
            .stale(stale)
            .max_timeout(defaults::duration(self.max_timeout, env_vars::MAX_TIMEOUT)?)
            .heartbeat_interval(heartbeat_interval(self.heartbeat_interval, stale)?)
            .heartbeat_on(self.heartbeat_on)
            .grace(defaults::duration(self.grace, env_vars::GRACE)?.unwrap_or(GRACE))
            .log(self.log)
            .tee(self.tee)
            .result(self.result)
            .keep_children(self.keep_children)
            .inherit_stdin(inherits_stdin)
            .breaker((!self.no_breaker).then_some(breaker))
            .max_consecutive(defaults::max_consecutive(self.max_consecutive)?)
            .cooldown(self.cooldown);
        options = self.env.iter().fold(options, |options, (name, value)| options.env(name, value));
        if let Some(size) = defaults::or_variable(self.log_max, env_vars::LOG_MAX, units::size)? {
            options = options.log_max(size);
        }
        if self.preflight {
            options.preflight = Some(defaults::preflight(options.directory.clone())?);
        }
        options.job.owns_process = true;
        options.job.cwd.clone_from(&self.cwd);
        options.job.tags = defaults::tags(&self.tags)?;
        Ok(options)
    }

    /// What a run that is joined is held to, beside the limits that it has itself.
    fn thresholds(&self) -> ThresholdArgs {
        ThresholdArgs { stale: self.stale, max_timeout: self.max_timeout }
    }

    /// Whether a run was refused, with this code, for a step that runs; its breaker, which is asked first, says nothing of that
    /// run.
    fn is_running(&self, code: u8, options: &RunOptions) -> bool {
        code == ExitCode::Running.code()
            || code == ExitCode::CircuitOpen.code()
                && self.report(options).is_ok_and(|report| report.outcome == Outcome::Running)
    }

    /// How the step stands now.
    fn report(&self, options: &RunOptions) -> Result<Report, Error> {
        CheckOptions::new(&options.directory).check_step(&self.step)
    }

    /// Runs COMMAND in a process of its own, and prints its pid or the report.
    fn exec_detached(&self, mut options: RunOptions, context: &Context) -> Result<u8, Error> {
        let (mut code, mut rest) = run_detached(&mut options, context)?;
        // A run that is there runs detached from this caller as well: its pid is all that was asked for.
        if self.attach
            && self.is_running(code, &options)
            && let Ok(Report { pid: Some(pid), command, .. }) = self.report(&options)
        {
            note_other(&options, &command.unwrap_or_default(), JOINED, context);
            (code, rest) = (ExitCode::Success.code(), pid.to_string());
        } else if code == ExitCode::Running.code() {
            code = ExitCode::InternalError.code();
        }
        if code != ExitCode::Success.code() {
            context.out.failed(&rest, code);
        } else if context.out.json {
            context.out.print_json(&self.report(&options)?);
        } else if !context.out.quiet {
            context.out.print_line(&rest);
        }
        Ok(code)
    }

    /// One line on standard error where the run did not succeed: how it ended, and where its log is.
    fn print_failure(&self, options: &RunOptions, listener: &mut RunListener<'_>) {
        // The exit code says that it failed; without a report, or where its files are gone, there is nothing to add.
        if let Some(report) = self.report(options).ok().filter(|report| report.outcome != Outcome::NotStarted) {
            let log = report.log.as_deref().map_or_else(String::new, |log| format!("; its log: {log}"));
            listener.print_error(&format!("{}{log}", format::result_line(&report, Styles::PLAIN)));
        }
    }
}

/// An interval that was given must leave room for a missed heartbeat; one that was not is made to fit.
fn heartbeat_interval(flag: Option<Duration>, stale: Option<Duration>) -> Result<Duration, Error> {
    let stale = stale.filter(|stale| !stale.is_zero());
    refuse_if(flag == Some(Duration::ZERO), "--heartbeat-interval 0 is no interval; use one like 10s")?;
    let Some(interval) = flag else {
        let default = defaults::duration(None, env_vars::HEARTBEAT_INTERVAL)?.filter(|span| !span.is_zero());
        let default = default.unwrap_or(HEARTBEAT_INTERVAL);
        return Ok(stale.map_or(default, |stale| default.min((stale / 3).max(Duration::from_millis(1)))));
    };
    match stale.filter(|stale| interval.saturating_mul(2) >= *stale) {
        Some(stale) => Err(Error::invalid_options(format!(
            "--heartbeat-interval {} is not less than half of --stale {}; lower the one or raise the other",
            humantime::format_duration(interval),
            humantime::format_duration(stale)
        ))),
        None => Ok(interval),
    }
}
