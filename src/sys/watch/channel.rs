//! Letters from other threads to a loop that sleeps on descriptors.
//!
//! Refuses to hold more letters than it was made for, and to keep a sender waiting (I10).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Where letters arrive.
#[derive(Debug)]
pub(crate) struct PollableReceiver<T> {
    letters: Receiver<T>,
    bell: Arc<WakePipe>,
}

/// Where they are put in.
#[derive(Debug)]
pub(crate) struct PollableSender<T> {
    letters: SyncSender<T>,
    bell: Arc<WakePipe>,
}

/// What rings. Both ends live as long as anybody holds either: a write to one whose other end has gone would end the
/// program that uses this library, where it does not ignore SIGPIPE as Rust's own do, and a read would never come to its
/// end.
#[derive(Debug)]
struct WakePipe {
    heard: UnixStream,
    rung: UnixStream,
}

impl<T> Clone for PollableSender<T> {
    fn clone(&self) -> Self {
        Self { letters: self.letters.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> PollableSender<T> {
    /// Puts a letter in; whether there was room, and somebody who will read it.
    pub(crate) fn put(&self, letter: T) -> bool {
        let taken = self.letters.try_send(letter).is_ok();
        // After the letter: who wakes up finds it.
        self.ring();
        taken
    }

    /// Wakes whoever sleeps on the box.
    pub(crate) fn ring(&self) {
        // A bell that cannot be rung any more rings already.
        let _rings = (&self.bell.rung).write(&[0]);
    }
}

impl<T> PollableReceiver<T> {
    /// With room for so many letters.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new(room: usize) -> io::Result<(PollableSender<T>, Self)> {
        let (heard, rung) = UnixStream::pair()?;
        heard.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let (sender, letters) = sync_channel(room);
        let bell = Arc::new(WakePipe { heard, rung });
        Ok((PollableSender { letters: sender, bell: Arc::clone(&bell) }, Self { letters, bell }))
    }

    /// What is readable while there are letters.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.bell.heard.as_fd()
    }

    /// All that have come.
    pub(crate) fn take(&self) -> Vec<T> {
        // Quiet first: whoever puts a letter in from here on rings again.
        let mut rings = [0; 64];
        while (&self.bell.heard).read(&mut rings).is_ok_and(|count| count == rings.len()) {}
        self.letters.try_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::time::Duration;

    #[test]
    fn no_letter_is_left_in_a_silent_box() {
        let (slot, mailbox) = PollableReceiver::new(1 << 16).unwrap();
        let threads: Vec<_> = (0..4_u32)
            .map(|thread| {
                let slot = slot.clone();
                std::thread::spawn(move || (0..10_000).for_each(|number| assert!(slot.put((thread, number)))))
            })
            .collect();
        drop(slot);
        let mut next = [0; 4];
        while next != [10_000; 4] {
            let [rings] = ready([Some(mailbox.descriptor())], Duration::from_secs(20));
            assert!(rings, "{next:?}");
            for (thread, number) in mailbox.take() {
                let next = &mut next[thread as usize];
                assert_eq!(number, *next);
                *next += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        mailbox.take();
        assert_eq!(ready([Some(mailbox.descriptor())], Duration::ZERO), [false], "it rings though all have gone");
    }

    #[test]
    fn what_has_no_room_is_told_and_keeps_nobody_waiting() {
        let (slot, mailbox) = PollableReceiver::new(1).unwrap();
        assert!(slot.put('a') && !slot.put('b'));
        assert_eq!(mailbox.take(), ['a']);
        drop(mailbox);
        assert!(!slot.put('c'));
        assert!((&slot.bell.rung).write(&[0]).is_ok(), "a SIGPIPE for whoever does not ignore it");
    }
}
