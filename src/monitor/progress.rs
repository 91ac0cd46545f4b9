//! How the steps of a wait stand while it goes on, for whoever looks on: once a second, and not at all where nobody does.
//!
//! Refuses to show more than fits a glance.

use crate::monitor::io::World;
use crate::monitor::step_state::State;
use crate::monitor::{Due, Failure, Monitor};
use std::time::Duration;

/// How often there is something new to see.
const PACE: Duration = Duration::from_secs(1);
/// How many steps are shown.
const SHOWN: usize = 8;

/// One step at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepProgress {
    /// Its place in the order.
    pub(crate) index: usize,
    /// How long it has run; nothing where it has not started.
    pub(crate) elapsed: Option<Duration>,
    /// How old its heartbeat is.
    pub(crate) heartbeat: Option<Duration>,
    /// Whether it is being ended.
    pub(crate) ending: bool,
}

/// Takes what there is to see: some steps, and how many more there are.
pub(crate) type ProgressFn<'call> = &'call mut dyn FnMut(&[StepProgress], usize);

impl<W: World> Monitor<'_, W> {
    /// Sees to it that there will be something to see.
    pub(super) fn schedule_glance(&mut self) {
        if self.onlooker.is_some() && self.glance.is_none() {
            let tick = self.tick(self.world.now().plus(PACE)).saturating_add(1);
            self.glance = Some(self.wheel.schedule(tick, Due::Glance));
        }
    }

    /// Looks at those that are shown, so that their ages are true, and shows them.
    pub(super) fn show(&mut self) -> Result<(), Failure> {
        self.glance = None;
        let waiting = |state: State| state != State::Told;
        let shown: Vec<usize> =
            (0..self.watched.len()).filter(|&index| waiting(self.watched[index].state)).take(SHOWN).collect();
        for index in shown {
            if self.is_over() {
                return Ok(());
            }
            self.look_at(index)?;
        }
        let now = self.world.now();
        let open: Vec<usize> = (0..self.watched.len()).filter(|&index| waiting(self.watched[index].state)).collect();
        let glimpses: Vec<StepProgress> =
            open.iter().take(SHOWN).map(|&index| self.watched[index].glimpse(index, now)).collect();
        if let Some(onlooker) = &mut self.onlooker {
            onlooker(&glimpses, open.len() - glimpses.len());
        }
        Ok(())
    }
}
