//! The same work on several things at once.
//!
//! Refuses to depend on threads: where one cannot be had, the work is done here. And to lose what a fault has ended: that
//! is said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// Works on each in a thread of its own; what came of it, in order, and nothing where a fault of this program ended it.
pub(super) fn abreast<T: Send, R: Send>(things: Vec<T>, work: &(dyn Fn(T) -> R + Sync)) -> Vec<Option<R>> {
    // A thread that cannot be had takes its part along; this way it stays here.
    let parts: Vec<Mutex<Option<T>>> = things.into_iter().map(|thing| Mutex::new(Some(thing))).collect();
    let done = |part: &Mutex<Option<T>>| {
        let thing = part.lock().unwrap_or_else(PoisonError::into_inner).take();
        thing.map(work)
    };
    std::thread::scope(|scope| {
        let done = &done;
        let running: Vec<_> = parts.iter().map(|part| Builder::new().spawn_scoped(scope, move || done(part))).collect();
        let ended = running.into_iter().zip(&parts).map(|(thread, part)| match thread {
            Ok(thread) => thread.join().ok().flatten(),
            Err(_) => done(part),
        });
        ended.collect()
    })
}

/// Works on things while `produce` still comes upon them: as many threads as `most` says take up what it gives out, and
/// when it has come to its end this thread works along. The first thing waits for that: where there is no second, no
/// thread is started. What `produce` says, and how often a fault of this program ended the work.
pub(super) fn meanwhile<T: Send, P>(
    most: &dyn Fn() -> usize,
    produce: impl FnOnce(&mut dyn FnMut(T)) -> P,
    work: &(dyn Fn(T) + Sync),
) -> (P, usize) {
    let queue = Queue { waiting: Mutex::new((Vec::new(), true)), changed: Condvar::new() };
    // What a fault leaves behind nobody looks at again.
    let fails = |thing| catch_unwind(AssertUnwindSafe(|| work(thing))).is_err();
    let work_off = || std::iter::from_fn(|| queue.next()).map(fails).filter(|failed| *failed).count();
    std::thread::scope(|scope| {
        let (mut first, mut threads, mut wanted) = (None, Vec::new(), None);
        // However `produce` ends: a thread that waits for more would be waited for.
        let closing = Closing(&queue);
        let produced = produce(&mut |thing| {
            if first.is_none() {
                first = Some(thing);
                return;
            }
            queue.lock().0.push(thing);
            queue.changed.notify_one();
            let wanted = wanted.get_or_insert_with(most);
            if *wanted > threads.len() {
                match Builder::new().spawn_scoped(scope, work_off) {
                    Ok(thread) => threads.push(thread),
                    Err(_) => *wanted = threads.len(),
                }
            }
        });
        drop(closing);
        let own = usize::from(first.is_some_and(fails)) + work_off();
        // The work is guarded, so nothing else could end one of them.
        (produced, threads.into_iter().map(|thread| thread.join().unwrap_or(1)).fold(own, usize::saturating_add))
    })
}

/// What waits to be worked on, in no order, and whether more may come.
struct Queue<T> {
    waiting: Mutex<(Vec<T>, bool)>,
    changed: Condvar,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, (Vec<T>, bool)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing, once there is one; nothing when no more will come.
    fn next(&self) -> Option<T> {
        let mut waiting = self.lock();
        while waiting.0.is_empty() && waiting.1 {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.0.pop()
    }
}

/// Says at its end that no more will come.
struct Closing<'queue, T>(&'queue Queue<T>);

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.0.lock().1 = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_a_fault_takes_no_other_along() {
        let halves = |number: i32| {
            assert!(number != 3, "a fault");
            number * 2
        };
        assert_eq!(abreast(vec![5, 3, 1], &halves), [Some(10), None, Some(2)]);
        assert_eq!(abreast(Vec::new(), &halves), []);
    }

    #[test]
    fn what_is_come_upon_is_worked_on_meanwhile_and_a_fault_takes_no_other_along() {
        for most in [0, 1, 3] {
            let halves = Mutex::new(Vec::new());
            let work = |number: i32| {
                assert!(number != 3, "a fault");
                halves.lock().unwrap().push(number * 2);
            };
            let ((), faults) = meanwhile(&|| most, |give| (1..=100).for_each(give), &work);
            let mut halves = halves.into_inner().unwrap();
            halves.sort_unstable();
            let expected: Vec<i32> = (1..=100).filter(|number| *number != 3).map(|number| number * 2).collect();
            assert_eq!((faults, halves), (1, expected));
        }
    }

    #[test]
    fn the_second_thing_is_done_while_the_third_is_looked_for_and_one_alone_needs_no_thread() {
        let (say, hear) = std::sync::mpsc::channel();
        let say = Mutex::new(say);
        let work = |number: i32| say.lock().unwrap().send((number, std::thread::current().id())).unwrap();
        let here = std::thread::current().id();
        let produce = |give: &mut dyn FnMut(i32)| {
            give(1);
            give(2);
            // Nothing goes on before somebody else has done it.
            let (done, whose) = hear.recv().unwrap();
            assert!(done == 2 && whose != here);
        };
        meanwhile(&|| 1, produce, &work);
        assert_eq!(hear.try_recv(), Ok((1, here)));
        meanwhile(&|| panic!("nobody else is needed"), |give| give(1), &work);
        assert_eq!(hear.try_recv(), Ok((1, here)));
    }

    #[test]
    fn a_fault_of_the_one_who_gives_out_leaves_nobody_waiting() {
        let produce = |give: &mut dyn FnMut(i32)| {
            (1..10).for_each(&mut *give);
            panic!("a fault");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| meanwhile(&|| 2, produce, &|_| ()))).is_err());
    }
}
