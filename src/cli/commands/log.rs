//! `dogwatch log`.
//!
//! A terminal is sent no control character that the work wrote: there it could do anything. Into a pipe or file every byte
//! goes as it is.

use super::completions::steps;
use super::{Args, Context, Error, StepName, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::decide::policy::START_TIMEOUT;
use crate::env_vars;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::log::{Log, LogEnd, log};
use crate::record::sanitize::StreamSanitizer;
use crate::record::time::MonotonicTime;
use crate::record::units;
use crate::sys::stdio;
use std::io::{self, IsTerminal};

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// The steps; of several each one's output stands under a heading
    #[arg(required = true, value_name = "STEP", add = steps())]
    steps: Vec<StepName>,
    /// Keep printing new output until the step ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines [default: all]
    #[arg(short = 'n', long, value_name = "N", value_parser = units::whole::<u64>)]
    lines: Option<u64>,
}

impl Subcommand for LogArgs {
    const NAME: &'static str = "log";
    const ABOUT: &'static str = "Print the log of a step, or of several";
    const EXAMPLES: &'static [&'static str] = &["dogwatch log build -f -n 20; dogwatch wait build"];
    const NOTES: &'static str = "Into a pipe or file the bytes go as they were written; on a terminal control \
        characters are shown as text. With -f it ends with 0 when the steps have ended, whatever their outcome: \
        `wait` says how.";
    const EXIT_CODES: &'static [ExitCode] = &[
        ExitCode::Success,
        ExitCode::NotStarted,
        ExitCode::InternalError,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let request = Log {
            directory: defaults::directory(context)?,
            steps: self.steps,
            lines: self.lines,
            follow: self.follow,
            start_timeout: defaults::duration(None, env_vars::START_TIMEOUT)?.unwrap_or(START_TIMEOUT),
        };
        if self.follow {
            // The thread that waits for the step takes signals from any moment on, and this one may be printing by then.
            stdio::set_deadline(MonotonicTime::NEVER);
        }
        let mut sanitizer = io::stdout().is_terminal().then(StreamSanitizer::default);
        let mut last = b'\n';
        let mut print = |bytes: &[u8]| {
            last = bytes.last().copied().unwrap_or(last);
            match &mut sanitizer {
                Some(sanitizer) => context.out.try_print(sanitizer.feed(bytes).as_bytes()),
                None => context.out.try_print(bytes),
            }
        };
        let ends = log(&request, &mut print, &mut print_error)?;
        if let Some(mut sanitizer) = sanitizer {
            context.out.print(sanitizer.finish().as_bytes());
        }
        let mut absent = Vec::new();
        for end in ends {
            match end {
                LogEnd::All => {}
                LogEnd::None(sentence) => print_error(&sentence),
                LogEnd::NotStarted(sentence) => absent.push(sentence),
                LogEnd::Interrupted(signal) => return Ok(of_signal(signal as i32)),
            }
        }
        let Some(sentence) = absent.pop() else { return Ok(ExitCode::Success.code()) };
        if context.out.json && last != b'\n' {
            // The object of the error is a line of its own.
            context.out.print(b"\n");
        }
        for sentence in &absent {
            print_error(sentence);
        }
        Err(Error::not_started(sentence))
    }
}
