//! The timing wheel, the very file that the program is built from, against a binary heap.
//!
//! Timers lie in the next 60 s, as heartbeats do: in turn, as the loop sets them, each step's after the one before; and in
//! no order, where a million of them is a million cache misses for whatever holds them. What it takes to touch a million
//! places in no order, and nothing else, is told beside. A heap cannot take one out of its middle, so a cancelled or
//! postponed one stays in it until it comes up (the usual way). Both have held as many timers before, as in a program that
//! goes on; what the first ones cost, for which the kernel has yet to give the memory, is told beside. Each figure is the
//! best of some passes: what else the machine did is not the wheel's.

use super::report::{Limit, Report};
use super::setup::Setup;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[path = "../../src/timer_wheel.rs"]
#[allow(dead_code, unused_imports, reason = "only what is measured is called")]
mod timer_wheel;

use timer_wheel::{Timer, TimerWheel};

/// How far ahead deadlines lie, in ticks of a millisecond.
const SPAN: u64 = 60_000;
const ACTS: [&str; 5] = ["schedule", "reschedule", "cancel", "expire", "schedule in new memory"];
/// How many of them are held to be flat.
const HELD: usize = 4;

/// What each act took.
type Took = [Duration; ACTS.len()];

/// A number that looks like chance and is the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// All numbers below `count`, in no order.
    fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            let other = usize::try_from(self.next() % (place as u64 + 1)).unwrap_or(0);
            order.swap(place, other);
        }
        order
    }
}

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) {
    let sizes: &[usize] = if setup.quick { &[1_000, 10_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let (least, most) = (sizes[0], sizes[sizes.len() - 1]);
    for (in_turn, order) in [(true, "in turn"), (false, "in no order")] {
        let mut found: Vec<[f64; ACTS.len()]> = Vec::new();
        for &size in sizes {
            let load = Load::new(size, in_turn);
            let (wheel, heap) = (best(&load, of_wheel), best(&load, of_heap));
            let shown = |figures: &[f64; ACTS.len()]| {
                let parts: Vec<String> =
                    ACTS.iter().zip(figures).map(|(act, nanos)| format!("{act} {nanos:.0} ns")).collect();
                parts.join(", ")
            };
            report.remark(&format!("{size} timers {order}, wheel: {}", shown(&wheel)));
            report.remark(&format!("{size} timers {order}, heap:  {}", shown(&heap)));
            found.push(wheel);
        }
        let (few, many) = (found[0], found[found.len() - 1]);
        for (act, name) in ACTS.iter().enumerate() {
            let (what, ratio) = (format!("wheel, {name} {order}: {most} timers over {least}"), many[act] / few[act]);
            if act < HELD {
                report.held(&what, ratio, Limit::AtMost(2.0), "x");
            } else {
                report.noted(&what, ratio, "x");
            }
        }
    }
    let (few, many) = (touched_in_no_order(least), touched_in_no_order(most));
    report.remark(&format!(
        "a place of a timer's size touched in no order: {few:.1} ns of {least}, {many:.1} ns of {most}"
    ));
    let what = format!("memory touched in no order: {most} places of a timer's size over {least}");
    report.noted(&what, many / few, "x");
}

/// What is done to the timers.
struct Load {
    deadlines: Vec<u64>,
    later: Vec<u64>,
    order: Vec<usize>,
}

impl Load {
    fn new(size: usize, in_turn: bool) -> Self {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
        let mut deadline = |place: usize| {
            if in_turn { 1 + place as u64 * SPAN / size as u64 } else { 1 + chance.next() % SPAN }
        };
        let deadlines = (0..size).map(&mut deadline).collect();
        let later = (0..size).map(|place| SPAN * u64::from(in_turn) + deadline(place)).collect();
        let order = if in_turn { (0..size).collect() } else { chance.shuffled(size) };
        Self { deadlines, later, order }
    }
}

/// Nanoseconds to count up one word in each of as many places, in no order, the best of some passes: less than that nobody
/// can do who takes timers out in no order.
fn touched_in_no_order(size: usize) -> f64 {
    let order = Chance(0x9E37_79B9_7F4A_7C15).shuffled(size);
    // As large as a timer's place in the wheel.
    let mut places = vec![[0_u64; 5]; size];
    let mut pass = || {
        let took = timed(|| order.iter().for_each(|&place| places[place][0] += 1));
        black_box(&mut places);
        took.as_secs_f64() * 1e9 / size as f64
    };
    (0..passes(size)).map(|_| pass()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds an act, the best of some passes.
fn best(load: &Load, pass: fn(&Load) -> Took) -> [f64; ACTS.len()] {
    let size = load.order.len();
    let mut best = [f64::INFINITY; ACTS.len()];
    for _ in 0..passes(size) {
        for (least, took) in best.iter_mut().zip(pass(load)) {
            *least = least.min(took.as_secs_f64() * 1e9 / size as f64);
        }
    }
    best
}

fn passes(size: usize) -> usize {
    (200_000 / size).clamp(5, 50)
}

fn timed(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

fn of_wheel(Load { deadlines, later, order }: &Load) -> Took {
    let mut wheel = TimerWheel::new(0);
    let mut timers: Vec<Timer> = Vec::with_capacity(order.len());
    let fill = |wheel: &mut TimerWheel<usize>, timers: &mut Vec<Timer>| {
        timers.extend(deadlines.iter().zip(0_usize..).map(|(&at, n)| wheel.schedule(at, n)));
    };
    let first = timed(|| fill(&mut wheel, &mut timers));
    for timer in timers.drain(..).rev() {
        black_box(wheel.cancel(timer));
    }
    let schedule = timed(|| fill(&mut wheel, &mut timers));
    // As the loop does it: a timer is set anew, and the next deadline is asked for.
    let reschedule = timed(|| {
        for &place in order {
            black_box(wheel.reschedule(timers[place], later[place]));
        }
    });
    black_box(wheel.next_deadline());
    let mut other = TimerWheel::new(0);
    let keys: Vec<Timer> = deadlines.iter().zip(0_usize..).map(|(&at, n)| other.schedule(at, n)).collect();
    let cancel = timed(|| {
        for &place in order {
            black_box(other.cancel(keys[place]));
        }
    });
    let expire = timed(|| {
        let mut told = 0_usize;
        while let Some(next) = wheel.next_deadline() {
            wheel.advance(next, &mut |what| told += black_box(what) & 1);
        }
        black_box(told);
    });
    [schedule, reschedule, cancel, expire, first]
}

/// A heap of deadlines, and beside it which entry of each timer counts.
struct Heap {
    entries: BinaryHeap<Reverse<(u64, usize, u32)>>,
    current: Vec<u32>,
}

impl Heap {
    fn schedule(&mut self, at: u64, number: usize) {
        self.current.push(0);
        self.entries.push(Reverse((at, number, 0)));
    }

    fn reschedule(&mut self, at: u64, number: usize) {
        self.current[number] += 1;
        self.entries.push(Reverse((at, number, self.current[number])));
    }

    fn cancel(&mut self, number: usize) {
        self.current[number] = u32::MAX;
    }

    fn pop(&mut self) -> Option<usize> {
        while let Some(Reverse((_, number, generation))) = self.entries.pop() {
            if self.current[number] == generation {
                return Some(number);
            }
        }
        None
    }
}

fn of_heap(Load { deadlines, later, order }: &Load) -> Took {
    let new = || Heap { entries: BinaryHeap::new(), current: Vec::new() };
    let fill = |heap: &mut Heap| deadlines.iter().enumerate().for_each(|(number, &at)| heap.schedule(at, number));
    let mut heap = new();
    let first = timed(|| fill(&mut heap));
    heap.entries.clear();
    heap.current.clear();
    let schedule = timed(|| fill(&mut heap));
    let reschedule = timed(|| order.iter().for_each(|&place| heap.reschedule(later[place], place)));
    let mut other = new();
    fill(&mut other);
    // Its entries have to go too, some time: at the latest when they come up.
    let cancel = timed(|| {
        for &place in order {
            other.cancel(place);
        }
        black_box(other.pop());
    });
    let expire = timed(|| while black_box(heap.pop()).is_some() {});
    [schedule, reschedule, cancel, expire, first]
}
