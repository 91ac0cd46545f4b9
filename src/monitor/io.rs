//! What the loop needs of the world: a clock, looks, hints, and runs ended. `SystemIo` is the world as it is.
//!
//! The loop is written against this alone, so that it can be held against a world whose clock jumps and whose events get
//! lost. Refuses to decide anything: each function does one thing that only a machine can do.

use crate::decide::snapshot::{Here, Snapshot};
use crate::monitor::event_sources::EventSources;
use crate::monitor::options::{Failure, Order};
use crate::monitor::terminations::{Job, TerminationPool};
use crate::monitor::{OTHER_DESCRIPTORS, SAFETY_RESCAN};
use crate::record::file_names::{Record, file_name};
use crate::record::time::MonotonicTime;
use crate::step::snapshot::{SnapshotReader, here};
use crate::step::terminate::{Means, Termination};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::platform::exit_watcher::Armed;
use crate::sys::process::isolated_worker;
use crate::sys::signals::Signal;
use crate::sys::watch::dir::Hint;
use crate::sys::{clock, env};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How many descriptors an ending takes, its hold on a great tree apart.
const DESCRIPTORS_EACH: u64 = 16;

/// The world as the loop needs it. A step is named by its place in the order.
pub(super) trait World {
    /// The clock that stops while the machine sleeps.
    fn now(&self) -> MonotonicTime;

    /// Says that this process is at work, and for how long at most it rests.
    fn rests(&self, span: Duration);

    /// One look at a step, begun now.
    ///
    /// # Errors
    /// What the kernel could not say this time.
    fn look(&mut self, index: usize) -> io::Result<Snapshot>;

    /// Arms what tells of changes.
    ///
    /// # Errors
    /// Signals cannot be caught.
    fn arm(&mut self, order: &Order, verbose: &mut dyn FnMut(&str)) -> Result<(), Failure>;

    /// Sets the watch anew where it does not stand on the directory any more; whether that was so.
    fn renew(&mut self, verbose: &mut dyn FnMut(&str)) -> bool;

    /// Asks for a notice of a process's end; nothing where none can be had.
    fn watch_exit(&mut self, pid: i32, index: usize) -> Option<Armed>;

    /// Takes that back.
    fn forget_exit(&mut self, index: usize);

    /// Asks for notices of one file's being written in place; whether they will come.
    fn follow(&mut self, index: usize, record: Record) -> bool;

    /// Has a run ended beside the loop; what came of it comes with a later waking.
    fn end(&mut self, index: usize, look: Snapshot, job: Job, means: Means);

    /// Sleeps until something says *look*, and so long at most.
    fn rest(&mut self, longest: Duration) -> Waking;

    /// Lets others at this processor first.
    fn give_way(&mut self);

    /// Where the directory is, for people.
    fn path(&self) -> &Path;

    /// Whether no file that decides has changed since this look.
    fn is_unchanged(&self, index: usize, look: &Snapshot) -> bool;

    /// Whether a process has ended whose end was to be noticed, or its end would not be.
    fn has_ended(&self, index: usize) -> bool;

    /// The last act: what has begun to end is ended whole.
    fn finish(&mut self);

    /// Whether anything was armed yet.
    fn is_armed(&self) -> bool;

    /// Whether changes of files are looked for instead of told.
    fn polls(&self) -> bool;

    /// The name of what is armed, as JSON has it.
    fn backend(&self) -> &'static str;

    /// Says what the arming of single files had to say.
    fn tell(&mut self, verbose: &mut dyn FnMut(&str));

    /// What tells of logs.
    fn senses(&mut self) -> &mut EventSources;
}

/// What ended a rest: each only names a place to look at (I1).
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// Names of files that changed.
    pub(super) hints: Vec<Hint>,
    /// Steps whose processes have ended.
    pub(super) exits: Vec<u64>,
    /// Steps whose logs have grown.
    pub(super) grown: Vec<usize>,
    /// Whether a log that lies elsewhere came or went.
    pub(super) logs: bool,
    /// Whether hints were lost.
    pub(super) missed: bool,
    /// Runs that have been ended, and what came of it.
    pub(super) ended: Vec<(usize, Termination)>,
    /// A signal asked this process to stop.
    pub(super) interrupted: Option<Signal>,
}

/// This machine.
pub(super) struct SystemIo {
    directory: Arc<MonitorDir>,
    here: Arc<Here>,
    lookers: Vec<SnapshotReader>,
    senses: EventSources,
    endings: TerminationPool,
}

impl SystemIo {
    /// With nothing armed yet.
    pub(super) fn new(directory: &MonitorDir, order: &Order) -> Self {
        let directory = Arc::new(directory.clone());
        let here = Arc::new(here(&directory));
        let looker = |step| {
            let mut looker = SnapshotReader::new(Arc::clone(&directory), step, Arc::clone(&here));
            if order.new {
                looker.keep_result();
            }
            looker
        };
        Self {
            lookers: order.steps.iter().cloned().map(looker).collect(),
            directory,
            here,
            senses: EventSources::none(),
            endings: TerminationPool::new(),
        }
    }
}

impl World for SystemIo {
    fn now(&self) -> MonotonicTime {
        clock::now()
    }

    fn rests(&self, span: Duration) {
        isolated_worker::rest(span);
    }

    fn look(&mut self, index: usize) -> io::Result<Snapshot> {
        self.lookers[index].look()
    }

    fn arm(&mut self, order: &Order, verbose: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        // A notice of each run's end takes one; what is left is for the looks, without which nothing is ever found.
        let allowed = env::allow_descriptors(order.steps.len() as u64 + OTHER_DESCRIPTORS);
        let others = OTHER_DESCRIPTORS.min(allowed / 4 * 3);
        self.endings.limit(usize::try_from(others / DESCRIPTORS_EACH).unwrap_or(usize::MAX));
        let spare = usize::try_from(allowed - others).unwrap_or(usize::MAX);
        self.senses.arm(&self.directory, order, spare, verbose)
    }

    fn renew(&mut self, verbose: &mut dyn FnMut(&str)) -> bool {
        let renewed = self.senses.renew(&self.directory, verbose);
        if renewed {
            self.here = Arc::new(here(&self.directory));
            self.lookers.iter_mut().for_each(|looker| looker.stand(Arc::clone(&self.here)));
        }
        renewed
    }

    fn watch_exit(&mut self, pid: i32, index: usize) -> Option<Armed> {
        self.senses.watch_exit(pid, index)
    }

    fn forget_exit(&mut self, index: usize) {
        self.senses.forget_exit(index);
    }

    fn follow(&mut self, index: usize, record: Record) -> bool {
        let name = file_name(self.lookers[index].step(), record);
        self.senses.follow(&self.directory.join(&name))
    }

    fn end(&mut self, index: usize, look: Snapshot, job: Job, means: Means) {
        let step = self.lookers[index].step().clone();
        let looker = SnapshotReader::new(Arc::clone(&self.directory), step, Arc::clone(&self.here));
        self.endings.begin(index, looker, look, job, means);
    }

    fn give_way(&mut self) {
        clock::give_way();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn is_unchanged(&self, index: usize, look: &Snapshot) -> bool {
        self.lookers[index].is_unchanged(look)
    }

    fn has_ended(&self, index: usize) -> bool {
        self.senses.has_ended(index)
    }

    fn rest(&mut self, longest: Duration) -> Waking {
        let rest = if self.endings.has_answers() { Duration::ZERO } else { longest.min(SAFETY_RESCAN) };
        let mut waking = self.senses.rest(self.endings.descriptor(), rest);
        waking.ended = self.endings.take();
        waking
    }

    fn finish(&mut self) {
        self.endings.finish(self.senses.signals());
    }

    fn senses(&mut self) -> &mut EventSources {
        &mut self.senses
    }

    fn is_armed(&self) -> bool {
        self.senses.are_armed()
    }

    fn polls(&self) -> bool {
        self.senses.polls()
    }

    fn backend(&self) -> &'static str {
        self.senses.name()
    }

    fn tell(&mut self, verbose: &mut dyn FnMut(&str)) {
        self.senses.tell(verbose);
    }
}
