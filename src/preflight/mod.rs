//! Preflight: what has to hold before work begins, checked all at once, mended where somebody wrote down how.
//!
//! Refuses to change anything but by a check's own fix, and only where that is asked for; to run a fix twice; and to
//! wait for a check beyond its limit: one that is stuck in the kernel is given up and reported.

pub(crate) mod config;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod local;
pub(crate) mod monitor;
pub(crate) mod network;
pub(crate) mod report;
mod shell;
pub(crate) mod template;
mod venv;

use crate::sys::clock;
use crate::sys::fs::monitor_dir::why;
use crate::sys::process::shell::{End, Order, Purpose, ShellRunner};
use crate::sys::process::spawn::Ended;
use crate::sys::signals;
use crate::sys::signals::{Pending, Signal};
use crate::sys::watch::channel::{PollableReceiver, PollableSender};
use crate::sys::watch::poll::ready;
use network::{Address, Url};
use report::{Finding, OwnFix, Word};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use venv::usual_fix as usual_venv_fix;

/// How long a check may take where nothing else is said.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How long a fix may take: it may have to fetch and build a whole environment.
pub(crate) const FIX_LIMIT: Duration = Duration::from_secs(600);
/// From TERM to KILL for a fix that is over its time: it may have something half done to put back.
const FIX_GRACE: Duration = Duration::from_secs(5);
/// How much later than its limit a check's own answer may come. It knows best why it has none.
const LEEWAY: Duration = Duration::from_millis(250);
/// The same for a check that has a process tree to end first (`sys::process::tree` gives KILL 2 s).
const KILL_LEEWAY: Duration = Duration::from_secs(3);

/// One check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Its name, which no other check has.
    pub(crate) name: String,
    /// What to test.
    pub(crate) kind: Kind,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// The shell command that mends what it finds.
    pub(crate) fix: Option<String>,
    /// Where its paths begin and its commands run.
    pub(crate) folder: PathBuf,
}

/// What a check tests.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A shell command ends with exit code 0.
    Command(String),
    /// A Python can import a module.
    PythonImport {
        /// The module.
        module: String,
        /// The command of the interpreter.
        python: String,
    },
    /// A Python environment's scripts run its own interpreter, and that is the one it was made for.
    Venv(PathBuf),
    /// A GET is answered with 2xx.
    Http(Url),
    /// A connection is taken.
    Tcp(Address),
    /// A variable is set.
    Env {
        /// Its name.
        variable: String,
        /// What its value has to match.
        matches: Option<regex_lite::Regex>,
    },
    /// Something stands under a path.
    File(PathBuf),
    /// A filesystem has room.
    Disk {
        /// A path on it.
        path: PathBuf,
        /// The least number of free bytes.
        min_free: u64,
    },
    /// The monitor directory serves.
    Monitor(Place),
}

/// The monitor directory and the two durations that have to fit each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory, whether it is there or not.
    pub(crate) directory: PathBuf,
    /// How often runs beat, where the environment says so.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// How old a heartbeat may become, where the environment says so.
    pub(crate) stale: Option<Duration>,
}

impl Kind {
    /// The word in a file and in reports.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::PythonImport { .. } => "python-import",
            Self::Venv(_) => "venv",
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Env { .. } => "env",
            Self::File(_) => "file",
            Self::Disk { .. } => "disk",
            Self::Monitor(_) => "monitor",
        }
    }

    const fn leeway(&self) -> Duration {
        match self {
            Self::Command(_) | Self::PythonImport { .. } | Self::Venv(_) => KILL_LEEWAY,
            Self::Http(_) | Self::Tcp(_) | Self::Env { .. } | Self::File(_) | Self::Disk { .. } | Self::Monitor(_) => {
                LEEWAY
            }
        }
    }
}

/// Why a check failed, for people: what is seen, what is behind it, what mends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is seen.
    pub(crate) symptom: String,
    /// What is behind it, where that can be told.
    pub(crate) cause: Option<String>,
    /// The usual way to mend it, where there is one.
    pub(crate) fix: Option<String>,
}

impl Failure {
    /// A failure of which only the symptom is known.
    fn of(symptom: impl Into<String>) -> Self {
        Self { symptom: symptom.into(), ..Self::default() }
    }

    fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    fn mended_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// What a check found: a remark where it passed and has one, or why it failed.
type Verdict = Result<Option<String>, Failure>;

/// Hears what goes on meanwhile.
pub(crate) trait Listener {
    /// A fix begins.
    fn fixing(&mut self, command: &str);
    /// Something could not be done.
    fn trouble(&mut self, sentence: &str);
}

/// A signal that ended the preflight before it had an answer. Everything that it had started is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted(pub(crate) Signal);

/// Runs all checks at once; with `fix`, then the fixes of those that failed, each once, and those checks again.
///
/// # Errors
/// [`Interrupted`].
pub(crate) fn examine(checks: &[Check], fix: bool, listener: &mut dyn Listener) -> Result<Vec<Finding>, Interrupted> {
    // Without these the checks still run; an interruption then only leaves more to the kernel.
    let _inherited = signals::hear_of_children();
    let heard = Pending::borrow(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    if let Err(error) = &heard {
        listener.trouble(&format!("signals cannot be heard: {}", why(error)));
    }
    let mut crew = CheckRunner { shells: Arc::default(), signals: heard.ok() };
    let first = crew.run(&checks.iter().collect::<Vec<_>>())?;
    let mut findings: Vec<Finding> =
        checks.iter().zip(first).map(|(check, seen)| Finding::of(check, seen.verdict, seen.took)).collect();
    if fix {
        let failed: Vec<usize> = (0..checks.len()).filter(|&index| findings[index].verdict == Word::Failed).collect();
        let fixes = crew.mend(failed.iter().map(|&index| &checks[index]), listener)?;
        if !fixes.is_empty() {
            // All of them: what one check's fix mends may be what another, without a fix, was waiting for.
            let again = crew.run(&failed.iter().map(|&index| &checks[index]).collect::<Vec<_>>())?;
            for (index, seen) in failed.into_iter().zip(again) {
                let check = &checks[index];
                let own = check.fix.as_ref().and_then(|fix| fixes.get(&(check.folder.clone(), fix.clone())));
                let own = own.map_or(OwnFix::None, |fault| fault.as_deref().map_or(OwnFix::Done, OwnFix::Broken));
                findings[index] = Finding::of(check, seen.verdict, seen.took).after_fix(own);
            }
        }
    }
    Ok(findings)
}

/// A fix, known by where it runs and what it is; and what went wrong with it.
type Fixes = BTreeMap<(PathBuf, String), Option<String>>;

/// What a check found, and how long it took.
struct Seen {
    verdict: Verdict,
    took: Duration,
}

/// What all checks share.
struct CheckRunner {
    shells: Arc<ShellRunner>,
    signals: Option<Pending>,
}

impl CheckRunner {
    /// Runs these checks at once, each for as long as its limit at most.
    fn run(&mut self, checks: &[&Check]) -> Result<Vec<Seen>, Interrupted> {
        let began = clock::now();
        let (slot, mailbox) = match PollableReceiver::new(checks.len()) {
            Ok(made) => made,
            Err(error) => return Ok(checks.iter().map(|_| could_not_begin(&error)).collect()),
        };
        let mut seen: Vec<Option<Seen>> = Vec::new();
        for (index, check) in checks.iter().enumerate() {
            seen.push(self.begin(index, check, &slot).err());
        }
        loop {
            let now = clock::now();
            let patience = |index: &usize| began.plus(checks[*index].limit).plus(checks[*index].kind.leeway());
            let waiting: Vec<usize> = (0..checks.len()).filter(|&index| seen[index].is_none()).collect();
            for index in waiting.iter().filter(|index| patience(index) <= now) {
                let verdict = Err(Failure::of(format!("no answer within {}", shown(checks[*index].limit)))
                    .because("it is stuck in the kernel, perhaps on a filesystem that does not answer"));
                seen[*index] = Some(Seen { verdict, took: now.since(began) });
            }
            let Some(next) = waiting.iter().map(patience).filter(|patience| *patience > now).min() else {
                return Ok(seen.into_iter().flatten().collect());
            };
            self.sleep(&mailbox, next.since(now))?;
            for (index, found) in mailbox.take() {
                // One that was given up stays so, whatever comes of it while others are waited for.
                seen[index].get_or_insert(found);
            }
        }
    }

    /// Sleeps until there are letters, and so long at most.
    fn sleep<T>(&mut self, mailbox: &PollableReceiver<T>, longest: Duration) -> Result<(), Interrupted> {
        ready([Some(mailbox.descriptor()), self.signals.as_ref().map(Pending::descriptor)], longest);
        match self.signals.as_mut().and_then(|signals| signals.fetch().first().copied()) {
            None => Ok(()),
            Some(signal) => {
                self.shells.stop();
                Err(Interrupted(signal))
            }
        }
    }

    /// Begins one check in a thread of its own.
    fn begin(&self, index: usize, check: &Check, slot: &PollableSender<(usize, Seen)>) -> Result<(), Seen> {
        let (check, shells, slot) = (check.clone(), Arc::clone(&self.shells), slot.clone());
        let began = clock::now();
        let work = move || {
            let verdict = test(&check, &shells);
            // Whoever asked may have given this check up.
            let _gone = slot.put((index, Seen { verdict, took: clock::now().since(began) }));
        };
        let started = std::thread::Builder::new().name("check".into()).spawn(work);
        started.map(|_detached| ()).map_err(|error| could_not_begin(&error))
    }

    /// Runs the fixes of these checks, one after the other, each once: two at once might be in each other's way.
    fn mend<'check>(
        &mut self,
        checks: impl Iterator<Item = &'check Check>,
        listener: &mut dyn Listener,
    ) -> Result<Fixes, Interrupted> {
        let mut fixes = Fixes::new();
        for check in checks {
            let Some(text) = &check.fix else { continue };
            let key = (check.folder.clone(), text.clone());
            if fixes.contains_key(&key) {
                continue;
            }
            listener.fixing(text);
            fixes.insert(key, self.mend_once(check, text)?);
        }
        Ok(fixes)
    }

    fn mend_once(&mut self, check: &Check, text: &str) -> Result<Option<String>, Interrupted> {
        let not_run = |error: &io::Error| Ok(Some(format!("it could not be run: {}", why(error))));
        let (slot, mailbox) = match PollableReceiver::new(1) {
            Ok(made) => made,
            Err(error) => return not_run(&error),
        };
        let (shells, text, folder) = (Arc::clone(&self.shells), text.to_owned(), check.folder.clone());
        let work = move || {
            let deadline = clock::now().plus(FIX_LIMIT);
            let order = Order {
                text: OsStr::new(&text),
                folder: Some(&folder),
                variables: &shell::variables(),
                deadline,
                grace: FIX_GRACE,
                purpose: Purpose::Mend,
            };
            let fault = match shells.run(&order) {
                Err(error) => Some(format!("it could not be run: {}", why(&error))),
                Ok(outcome) => match outcome.end {
                    End::Known(Ended::Code(0)) => None,
                    End::Known(Ended::Code(code)) => Some(format!("it ended with exit code {code}")),
                    End::Known(Ended::Signal(number)) => Some(format!("it was ended by signal {number}")),
                    End::Unknown => Some("nobody knows how it ended".to_owned()),
                    End::OutOfTime => Some(format!("it was not done within {}", shown(FIX_LIMIT))),
                },
            };
            let _gone = slot.put(fault);
        };
        if let Err(error) = std::thread::Builder::new().name("fix".into()).spawn(work) {
            return not_run(&error);
        }
        let give_up = clock::now().plus(FIX_LIMIT).plus(FIX_GRACE).plus(KILL_LEEWAY);
        while clock::now() < give_up {
            self.sleep(&mailbox, give_up.since(clock::now()))?;
            if let Some(fault) = mailbox.take().pop() {
                return Ok(fault);
            }
        }
        Ok(Some(format!("it was not done within {}", shown(FIX_LIMIT))))
    }
}

fn could_not_begin(error: &io::Error) -> Seen {
    let verdict = Err(Failure::of(format!("the check could not begin: {}", why(error))));
    Seen { verdict, took: Duration::ZERO }
}

/// Runs one check, in its own thread.
fn test(check: &Check, shells: &ShellRunner) -> Verdict {
    let deadline = clock::now().plus(check.limit);
    let folder = check.folder.as_path();
    match &check.kind {
        Kind::Command(text) => shell::command(text, check, deadline, shells),
        Kind::PythonImport { module, python } => shell::import(module, python, check, deadline, shells),
        Kind::Venv(path) => venv::check(&folder.join(path), folder, deadline, shells),
        Kind::Http(url) => network::http(url, check.limit, deadline),
        Kind::Tcp(address) => network::tcp(address, check.limit, deadline),
        Kind::Env { variable, matches } => local::variable(variable, matches.as_ref()),
        Kind::File(path) => local::file(&folder.join(path)),
        Kind::Disk { path, min_free } => local::disk(&folder.join(path), *min_free),
        Kind::Monitor(place) => monitor::check(place, deadline),
    }
}

/// A span as it is written in a file.
fn shown(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
