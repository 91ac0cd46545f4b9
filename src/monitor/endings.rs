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

type Task = Box<dyn FnOnce() -> (usize, Termination) + Send>;

/// The runs being ended and those that wait for it.
pub(super) struct Endings {
    pub(super) results: Receiver<(usize, Termination)>,
    sender: Sender<(usize, Termination)>,
    running: usize,
    waiting: VecDeque<Task>,
}

impl Endings {
    pub(super) fn new() -> Self {
        // As many results can wait as threads run, so none of them ever blocks on a loop that has gone.
        let (sender, results) = bounded(AT_ONCE + 1);
        Self { results, sender, running: 0, waiting: VecDeque::new() }
    }

    /// Begins, or queues, the end of the step at `index`; its result comes through the channel.
    pub(super) fn begin(&mut self, index: usize, mut looker: Looker, look: Look, job: Job, means: Means) {
        self.waiting.push_back(Box::new(move || {
            let termination = match job.what {
                What::Terminate(intent, why) => terminate(&mut looker, &look, intent, &why, &means),
                What::Bury(reason) => bury(&mut looker, &look, reason, &means),
            };
            (index, termination)
        }));
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
        while self.running < AT_ONCE {
            let Some(task) = self.waiting.pop_front() else { return };
            self.running += 1;
            let sender = self.sender.clone();
            let (hand_over, take) = bounded::<Task>(1);
            let thread = std::thread::Builder::new().name("ending".into()).spawn(move || {
                if let Ok(task) = take.recv() {
                    // A loop that has gone needs no result.
                    let _gone = sender.send(task());
                }
            });
            match thread {
                Ok(_running) => {
                    // The thread is there and takes it; were it gone, the channel would give the task back unrun.
                    let _taken = hand_over.send(task);
                }
                // No thread to be had: late is better than never.
                Err(_) => {
                    let _room = self.sender.send(task());
                }
            }
        }
    }
}
