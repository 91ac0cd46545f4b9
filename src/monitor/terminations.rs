//! Runs being ended, each in a thread of its own, a bounded number at once.
//!
//! They run outside of the loop: a grace of five seconds for one step must not delay the answers for other steps.

use crate::decide::snapshot::Snapshot;
use crate::monitor::event::Task;
use crate::step::snapshot::SnapshotReader;
use crate::step::terminate::{KillMethod, Termination, record_death, terminate};
use crate::sys::signals::Pending;
use crate::sys::watch::channel::{PollableReceiver, PollableSender};
use crate::sys::watch::poll::ready;
use crossbeam_channel::bounded;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How many runs are ended at once; the others wait for their turn.
const AT_ONCE: usize = 32;
/// How long is slept in one go until they have ended.
const LONGEST: Duration = Duration::from_secs(15);

/// What ends one run.
type TerminationTask = Box<dyn FnOnce() -> Termination + Send>;

/// What came of one, with its step's place.
type StepTermination = (usize, Termination);

/// The runs being ended and those that wait for it.
pub(super) struct TerminationPool {
    /// Where answers come from threads; made when the first run is ended.
    answers: Option<(PollableSender<StepTermination>, PollableReceiver<StepTermination>)>,
    /// What was ended without a thread.
    done: Vec<StepTermination>,
    running: usize,
    at_once: usize,
    waiting: VecDeque<(usize, TerminationTask)>,
}

impl TerminationPool {
    pub(super) fn new() -> Self {
        Self { answers: None, done: Vec::new(), running: 0, at_once: AT_ONCE, waiting: VecDeque::new() }
    }

    /// Ends no more than so many at once from now on; one at least.
    pub(super) fn limit(&mut self, at_once: usize) {
        self.at_once = at_once.clamp(1, AT_ONCE);
    }

    /// Begins, or queues, the end of the step at `index`; what comes of it is among what is taken later.
    pub(super) fn begin(
        &mut self,
        index: usize,
        mut reader: SnapshotReader,
        snapshot: Snapshot,
        task: Task,
        method: KillMethod,
    ) {
        let task: TerminationTask = Box::new(move || match task {
            Task::Terminate(intent, why) => terminate(&mut reader, &snapshot, intent, &why, &method),
            Task::RecordDeath(reason) => record_death(&mut reader, &snapshot, reason, &method),
        });
        self.waiting.push_back((index, task));
        self.start();
    }

    /// What is readable when one has ended.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.answers.as_ref().map(|(_, mailbox)| mailbox.descriptor())
    }

    /// Whether one has ended of which no descriptor tells.
    pub(super) fn has_answers(&self) -> bool {
        !self.done.is_empty()
    }

    /// What has ended since the last call. The next may begin.
    pub(super) fn take(&mut self) -> Vec<StepTermination> {
        let mut answers = std::mem::take(&mut self.done);
        answers.extend(self.answers.iter().flat_map(|(_, mailbox)| mailbox.drain()));
        self.running = self.running.saturating_sub(answers.len());
        self.start();
        answers
    }

    /// Waits for the terminations that have begun, so that no tree is left half terminated; the others are not begun
    /// any more. A second interruption ends this wait at once.
    pub(super) fn finish(&mut self, mut interrupts: Option<&mut Pending>) {
        self.waiting.clear();
        while self.running > self.done.len() {
            let _told = ready([self.descriptor(), interrupts.as_deref().map(Pending::descriptor)], LONGEST);
            if interrupts.as_deref_mut().is_some_and(|signals| !signals.fetch().is_empty()) {
                return;
            }
            self.take();
        }
    }

    fn start(&mut self) {
        while self.running < self.at_once {
            let Some((index, task)) = self.waiting.pop_front() else { return };
            self.running += 1;
            if self.answers.is_none() {
                // As many answers can wait as threads run.
                self.answers = PollableReceiver::bounded(AT_ONCE).ok();
            }
            let given_back = match &self.answers {
                Some((slot, _)) => hand_over(index, task, slot.clone()),
                None => Some(task),
            };
            // No thread to be had: late is better than never.
            if let Some(task) = given_back {
                self.done.push((index, outcome_of(task)));
            }
        }
    }
}

/// Gives a task to a thread of its own; the task where there is none to be had.
fn hand_over(index: usize, task: TerminationTask, slot: PollableSender<StepTermination>) -> Option<TerminationTask> {
    let (give, take) = bounded::<TerminationTask>(1);
    let thread = std::thread::Builder::new().name("ending".into()).spawn(move || {
        if let Ok(task) = take.recv() {
            // A loop that has gone needs no answer.
            let _gone = slot.try_send((index, outcome_of(task)));
        }
    });
    match thread {
        // The thread is there and takes it; were it gone, the channel would give the task back unrun.
        Ok(_running) => give.send(task).err().map(|unsent| unsent.0),
        Err(_) => Some(task),
    }
}

/// What came of it. A fault in this program must not leave the loop waiting for ever (I10).
fn outcome_of(task: TerminationTask) -> Termination {
    // What the task held is gone with it, whole or not.
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|_| Termination {
        detail: Some("ending it failed for a fault in dogwatch".to_owned()),
        ..Termination::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_has_an_answer_and_those_after_it_too() {
        let mut endings = TerminationPool::new();
        for index in 0..AT_ONCE + 2 {
            endings.waiting.push_back((index, Box::new(|| panic!("a fault"))));
        }
        endings.start();
        let mut answered: Vec<usize> = Vec::new();
        while answered.len() < AT_ONCE + 2 {
            assert_eq!(ready([endings.descriptor()], Duration::from_secs(20)), [true], "no answer");
            for (index, termination) in endings.take() {
                assert!(!termination.recorded && termination.detail.is_some_and(|detail| detail.contains("a fault")));
                answered.push(index);
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..AT_ONCE + 2).collect::<Vec<_>>());
        assert_eq!(endings.running, 0);
    }
}
