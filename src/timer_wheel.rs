//! Deadlines by the thousand: a hierarchical timing wheel, used by the waiting loop.
//!
//! Pure: `now` is passed in, in ticks of one millisecond since an origin that the caller owns. A caller that turns
//! moments into ticks rounds a deadline up and the present down; then a timer expires at most one tick late and never early.
//!
//! 6 levels of 64 slots, one occupancy word a level, timers in doubly linked lists inside one slab. After Varghese and
//! Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7, with two changes. Empty time costs nothing: the
//! occupancy words are searched instead of walking tick by tick. And the next deadline is exact: the timers of the earliest
//! slots also stand in a small heap (the front), from which cancelled ones are dropped when they come up.
//!
//! Never panics: deadlines saturate, a stale key changes nothing, time that goes back is ignored.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

#[cfg(test)]
#[path = "timer_wheel/tests.rs"]
mod tests;

/// How many levels there are; together they span 64^6 ticks, about 2.2 years. What lies beyond waits in an ordered map.
const LEVELS: usize = BEYOND as usize;
/// How many bits of a tick choose a slot.
const BITS: u32 = 6;
/// How many slots a level has.
const SLOTS: usize = 1 << BITS;
/// How many bits of a tick lie below those that choose a slot of the last level.
const TOP: u32 = BITS * (BEYOND as u32 - 1);
/// The level of a node that waits beyond all levels.
const BEYOND: u8 = 6;
/// No node.
const NONE: u32 = u32::MAX;
/// How many dropped entries the front may hold beyond twice the live timers.
const FRONT_SLACK: usize = 64;

/// The key of one timer. It is stale as soon as the timer was handed out or cancelled, also when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    node: u32,
    generation: u32,
}

/// Timers that each carry a value until their deadline.
#[derive(Debug)]
pub(crate) struct TimerWheel<T> {
    /// The tick up to which everything has been handed out; never later than any `now` that was passed in.
    elapsed: u64,
    levels: [Level; LEVELS],
    nodes: Vec<Node<T>>,
    /// The first of the free nodes, linked by `next`.
    free: u32,
    live: usize,
    /// Timers that lie beyond the reach of the last level, by deadline. They are few: such deadlines are years away.
    beyond: BTreeSet<(u64, Timer)>,
    /// Every live timer with a deadline before `front_end`, and entries of some that are no longer.
    front: BinaryHeap<Reverse<(u64, Timer)>>,
    front_end: u64,
}

#[derive(Clone, Debug)]
struct Level {
    /// One bit for each slot that holds a timer.
    occupied: u64,
    /// The first node of each slot.
    heads: [u32; SLOTS],
}

#[derive(Debug)]
struct Node<T> {
    deadline: u64,
    value: Option<T>,
    generation: u32,
    next: u32,
    previous: u32,
    level: u8,
    slot: u8,
}

impl<T> TimerWheel<T> {
    /// An empty wheel at tick `now`.
    pub(crate) fn new(now: u64) -> Self {
        let level = Level { occupied: 0, heads: [NONE; SLOTS] };
        Self {
            elapsed: now,
            levels: std::array::from_fn(|_| level.clone()),
            nodes: Vec::new(),
            free: NONE,
            live: 0,
            beyond: BTreeSet::new(),
            front: BinaryHeap::new(),
            front_end: 0,
        }
    }

    /// How many timers wait.
    #[cfg_attr(not(test), expect(dead_code, reason = "the wheel's own tests hold it against their model"))]
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Adds a timer. One whose deadline is past is handed out at the next advance.
    pub(crate) fn schedule(&mut self, deadline: u64, value: T) -> Timer {
        let index = if self.free == NONE {
            // 2^32 timers do not fit into memory; the last index means "none".
            let index = u32::try_from(self.nodes.len()).unwrap_or(NONE - 1);
            self.nodes.push(Node {
                deadline,
                value: None,
                generation: 0,
                next: NONE,
                previous: NONE,
                level: 0,
                slot: 0,
            });
            index
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            index
        };
        self.nodes[index as usize].value = Some(value);
        self.live += 1;
        let timer = Timer { node: index, generation: self.nodes[index as usize].generation };
        self.insert(timer, deadline);
        timer
    }

    /// Gives a timer another deadline; false where it is no longer there.
    pub(crate) fn reschedule(&mut self, timer: Timer, deadline: u64) -> bool {
        if !self.is_live(timer) {
            return false;
        }
        self.unlink(timer.node);
        self.insert(timer, deadline);
        true
    }

    /// Takes a timer out; its value, or `None` if it is no longer there.
    pub(crate) fn cancel(&mut self, timer: Timer) -> Option<T> {
        if !self.is_live(timer) {
            return None;
        }
        self.unlink(timer.node);
        self.release(timer.node)
    }

    /// The earliest deadline, exactly; at least the present.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        if self.live == 0 {
            self.front.clear();
            self.front_end = 0;
            return None;
        }
        if self.front.len() > 2 * self.live + FRONT_SLACK {
            self.front.clear();
            self.front_end = 0;
        }
        loop {
            while let Some(&Reverse((deadline, timer))) = self.front.peek() {
                if self.is_live(timer) && self.nodes[timer.node as usize].deadline == deadline {
                    return Some(deadline.max(self.elapsed));
                }
                self.front.pop();
            }
            // The front has run out: the earliest slot becomes the new one. All later slots hold later deadlines only.
            let Some((level, slot, _)) = self.earliest() else {
                return self.beyond.first().map(|&(deadline, _)| deadline);
            };
            let mut node = self.levels[level].heads[slot];
            let mut latest = 0;
            while node != NONE {
                let Node { deadline, generation, next, .. } = self.nodes[node as usize];
                self.front.push(Reverse((deadline, Timer { node, generation })));
                latest = latest.max(deadline);
                node = next;
            }
            self.front_end = latest.saturating_add(1);
        }
    }

    /// Moves on to tick `now` and hands out every timer whose deadline is not later, the earliest first.
    pub(crate) fn advance(&mut self, now: u64, expired: &mut impl FnMut(T)) {
        if now < self.elapsed {
            return;
        }
        while let Some((level, slot, start)) = self.earliest() {
            if start > now {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            let mut node = self.take(level, slot);
            while node != NONE {
                let next = self.nodes[node as usize].next;
                let Node { deadline, generation, .. } = self.nodes[node as usize];
                if deadline <= self.elapsed {
                    if let Some(value) = self.release(node) {
                        expired(value);
                    }
                } else {
                    // Its slot has come and its tick has not: closer now, it goes to a finer level.
                    self.place(Timer { node, generation }, deadline);
                }
                node = next;
            }
        }
        // What lies beyond the levels is later than all in them, so its turn comes after theirs.
        while let Some(&(deadline, timer)) = self.beyond.first() {
            if deadline > now {
                break;
            }
            self.beyond.pop_first();
            if let Some(value) = self.release(timer.node) {
                expired(value);
            }
        }
        self.elapsed = now;
        while let Some(&(deadline, timer)) = self.beyond.first() {
            if !self.reaches(deadline) {
                break;
            }
            self.beyond.pop_first();
            self.place(timer, deadline);
        }
    }

    fn is_live(&self, timer: Timer) -> bool {
        let node = self.nodes.get(timer.node as usize);
        node.is_some_and(|node| node.generation == timer.generation && node.value.is_some())
    }

    fn insert(&mut self, timer: Timer, deadline: u64) {
        if deadline < self.front_end {
            self.front.push(Reverse((deadline, timer)));
        }
        self.place(timer, deadline);
    }

    /// Links a node into the slot for its deadline.
    fn place(&mut self, timer: Timer, deadline: u64) {
        if !self.reaches(deadline) {
            let node = &mut self.nodes[timer.node as usize];
            (node.deadline, node.level) = (deadline, BEYOND);
            self.beyond.insert((deadline, timer));
            return;
        }
        let (level, slot) = self.slot_for(deadline);
        let head = self.levels[level].heads[slot];
        if head != NONE {
            self.nodes[head as usize].previous = timer.node;
        }
        let node = &mut self.nodes[timer.node as usize];
        node.deadline = deadline;
        node.next = head;
        node.previous = NONE;
        // Both are below 64.
        #[expect(clippy::cast_possible_truncation, reason = "levels and slots are below 64")]
        {
            node.level = level as u8;
            node.slot = slot as u8;
        }
        self.levels[level].heads[slot] = timer.node;
        self.levels[level].occupied |= 1 << slot;
    }

    /// Whether a deadline lies within the levels: before the last one would come round to the slot it stands on.
    fn reaches(&self, deadline: u64) -> bool {
        (deadline >> TOP).saturating_sub(self.elapsed >> TOP) < SLOTS as u64
    }

    /// The level is that of the highest group of six bits in which deadline and present differ: all ticks of a slot of
    /// that level then share what lies above, so a slot's place among its level's is a place in time.
    fn slot_for(&self, deadline: u64) -> (usize, usize) {
        let deadline = deadline.max(self.elapsed);
        let differing = u64::BITS - (self.elapsed ^ deadline).leading_zeros();
        let level = (differing.saturating_sub(1) / BITS).min(u32::from(BEYOND) - 1);
        let slot = (deadline >> (BITS * level)) & (SLOTS as u64 - 1);
        (level as usize, usize::try_from(slot).unwrap_or(0))
    }

    /// The first occupied slot in time and the tick at which it begins. Finer levels come first: they hold what lies in
    /// the slot of the next coarser level on which the present stands.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        for (level, Level { occupied, .. }) in self.levels.iter().enumerate() {
            if *occupied == 0 {
                continue;
            }
            let shift = BITS * u32::try_from(level).unwrap_or(0);
            let here = self.elapsed >> shift;
            let position = u32::try_from(here & (SLOTS as u64 - 1)).unwrap_or(0);
            // Turned so that the present's slot is bit zero: only the last level ever comes round.
            let ahead = u64::from(occupied.rotate_right(position).trailing_zeros());
            let number = here.saturating_add(ahead);
            let slot = usize::try_from(number & (SLOTS as u64 - 1)).unwrap_or(0);
            let start = number.checked_shl(shift).filter(|start| start >> shift == number).unwrap_or(u64::MAX);
            return Some((level, slot, start));
        }
        None
    }

    /// Empties a slot; its first node, the others linked behind it.
    fn take(&mut self, level: usize, slot: usize) -> u32 {
        let level = &mut self.levels[level];
        level.occupied &= !(1 << slot);
        std::mem::replace(&mut level.heads[slot], NONE)
    }

    fn unlink(&mut self, node: u32) {
        let Node { deadline, generation, next, previous, level, slot, .. } = self.nodes[node as usize];
        if level == BEYOND {
            self.beyond.remove(&(deadline, Timer { node, generation }));
            return;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous == NONE {
            let level = &mut self.levels[usize::from(level)];
            level.heads[usize::from(slot)] = next;
            if next == NONE {
                level.occupied &= !(1 << slot);
            }
        } else {
            self.nodes[previous as usize].next = next;
        }
    }

    /// Gives an unlinked node back; every key to it is stale from now on.
    fn release(&mut self, index: u32) -> Option<T> {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.live -= 1;
        node.value.take()
    }
}
