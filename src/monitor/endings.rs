//! Runs being ended, each in a thread of its own, a bounded number at once.
//!
//! Refuses to hold the loop up: a grace of five seconds for one step must not delay the others' answers.

use crate::decide::observation::Look;
use crate::os::signals::Signal;
use crate::protocol::outcome::{Intent, Reason};
use crate::step::look::Looker;
use crate::step::terminate::{Means, Termination, bury, terminate};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many runs are ended at once; the others wait for their turn.
const AT_ONCE: usize = 32;

/// What is to be done with a run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A living one, for this reason and these words.
    Terminate(Intent, String),
    /// A dead one.
    Bury(Reason),
}

impl Job {
    /// End a living run.
    pub(super) fn terminate(intent: Intent, why: String) -> Self {
        Self { what: What::Terminate(intent, why) }
    }

    /// Record a dead run's end, and end what it left.
    pub(super) fn bury(reason: Reason) -> Self {
        Self { what: What::Bury(reason) }
    }
}

/// What ends one run.
type Task = Box<dyn FnOnce() -> Termination + Send>;

/// The runs being ended and those that wait for it.
pub(super) struct Endings {
    pub(super) results: Receiver<(usize, Termination)>,
    sender: Sender<(usize, Termination)>,
    running: usize,
    at_once: usize,
    waiting: VecDeque<(usize, Task)>,
}

impl Endings {
    pub(super) fn new() -> Self {
        // As many results can wait as threads run, so none of them ever blocks on a loop that has gone.
        let (sender, results) = bounded(AT_ONCE + 1);
        Self { results, sender, running: 0, at_once: AT_ONCE, waiting: VecDeque::new() }
    }

    /// Ends no more than so many at once from now on; one at least.
    pub(super) fn limit(&mut self, at_once: usize) {
        self.at_once = at_once.clamp(1, AT_ONCE);
    }

    /// Begins, or queues, the end of the step at `index`; its result comes through the channel.
    pub(super) fn begin(&mut self, index: usize, mut looker: Looker, look: Look, job: Job, means: Means) {
        let task: Task = Box::new(move || match job.what {
            What::Terminate(intent, why) => terminate(&mut looker, &look, intent, &why, &means),
            What::Bury(reason) => bury(&mut looker, &look, reason, &means),
        });
        self.waiting.push_back((index, task));
        self.start();
    }

    /// One has ended: the next may begin.
    pub(super) fn next(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.start();
    }

    /// Waits for those that have begun, since a tree that is half ended is nobody's wish; the others are not begun any
    /// more. Whoever interrupts this too is obeyed at once.
    pub(super) fn finish(&mut self, interrupts: &Receiver<Signal>) {
        self.waiting.clear();
        while self.running > 0 {
            select! {
                recv(self.results) -> result => match result {
                    Ok(_) => self.running -= 1,
                    Err(_) => return,
                },
                recv(interrupts) -> _ => return,
            }
        }
    }

    fn start(&mut self) {
        while self.running < self.at_once {
            let Some((index, task)) = self.waiting.pop_front() else { return };
            self.running += 1;
            let sender = self.sender.clone();
            let (hand_over, take) = bounded::<Task>(1);
            let thread = std::thread::Builder::new().name("ending".into()).spawn(move || {
                if let Ok(task) = take.recv() {
                    // A loop that has gone needs no result.
                    let _gone = sender.send((index, outcome_of(task)));
                }
            });
            match thread {
                Ok(_running) => {
                    // The thread is there and takes it; were it gone, the channel would give the task back unrun.
                    let _taken = hand_over.send(task);
                }
                // No thread to be had: late is better than never.
                Err(_) => {
                    let _room = self.sender.send((index, outcome_of(task)));
                }
            }
        }
    }
}

/// What came of it. A fault in this program must not leave the loop waiting for ever (I10).
fn outcome_of(task: Task) -> Termination {
    // What the task held is gone with it, whole or not.
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|_| Termination {
        killed: false,
        recorded: false,
        detail: Some("ending it failed for a fault in dogwatch".to_owned()),
        evidence: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_task_that_panics_has_an_answer_and_those_after_it_too() {
        let mut endings = Endings::new();
        for index in 0..AT_ONCE + 2 {
            endings.waiting.push_back((index, Box::new(|| panic!("a fault"))));
        }
        endings.start();
        let mut answered: Vec<usize> = Vec::new();
        for _ in 0..AT_ONCE + 2 {
            let (index, termination) = endings.results.recv_timeout(Duration::from_secs(20)).expect("an answer");
            assert!(!termination.recorded && termination.detail.is_some_and(|detail| detail.contains("a fault")));
            answered.push(index);
            endings.next();
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..AT_ONCE + 2).collect::<Vec<_>>());
        assert_eq!(endings.running, 0);
    }
}
