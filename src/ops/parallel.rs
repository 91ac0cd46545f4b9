//! The same work on several things at once. Called by `list` and `kill`.

use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Works on each in a thread of its own, or here where there is no thread left. The results in order; nothing for one
/// that panicked.
pub(super) fn map_parallel<T: Send, R: Send>(things: Vec<T>, work: &(dyn Fn(T) -> R + Sync)) -> Vec<Option<R>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_a_fault_takes_no_other_along() {
        let halves = |number: i32| {
            assert!(number != 3, "a fault");
            number * 2
        };
        assert_eq!(map_parallel(vec![5, 3, 1], &halves), [Some(10), None, Some(2)]);
        assert_eq!(map_parallel(Vec::new(), &halves), []);
    }
}
