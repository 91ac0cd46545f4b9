//! Bounded channel whose receiver sleeps on a file descriptor. Called wherever threads report to a loop that sleeps in
//! poll(2).

use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The receiving end.
#[derive(Debug)]
pub(crate) struct PollableReceiver<T> {
    messages: Receiver<T>,
    waker: Arc<WakePipe>,
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct PollableSender<T> {
    messages: Sender<T>,
    waker: Arc<WakePipe>,
}

/// What wakes the receiver. Both ends live as long as either end of the channel: a write whose other end is closed would
/// raise SIGPIPE in a program that uses this library and does not ignore it as Rust programs do, and a read would find the
/// end of the file.
#[derive(Debug)]
struct WakePipe {
    read: UnixStream,
    write: UnixStream,
}

impl<T> Clone for PollableSender<T> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl<T> PollableSender<T> {
    /// Sends a message without waiting; whether there was room for it, and a receiver.
    pub(crate) fn try_send(&self, message: T) -> bool {
        let sent = self.messages.try_send(message).is_ok();
        // After the message: a receiver that is woken finds it.
        self.wake();
        sent
    }

    /// Wakes the receiver.
    pub(crate) fn wake(&self) {
        // A full pipe already means "wake".
        let _full = (&self.waker.write).write(&[0]);
    }
}

impl<T> PollableReceiver<T> {
    /// Makes a channel with room for so many messages.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn bounded(room: usize) -> io::Result<(PollableSender<T>, Self)> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let (sender, messages) = bounded(room);
        let waker = Arc::new(WakePipe { read, write });
        Ok((PollableSender { messages: sender, waker: Arc::clone(&waker) }, Self { messages, waker }))
    }

    /// What is readable while there are messages.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.waker.read.as_fd()
    }

    /// All messages that have come.
    pub(crate) fn drain(&self) -> Vec<T> {
        // The pipe first: a message that is sent from here on wakes again.
        let mut wakes = [0; 64];
        while (&self.waker.read).read(&mut wakes).is_ok_and(|count| count == wakes.len()) {}
        self.messages.try_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::time::Duration;

    #[test]
    fn no_message_is_left_in_a_silent_channel() {
        let (sender, receiver) = PollableReceiver::bounded(1 << 16).unwrap();
        let threads: Vec<_> = (0..4_u32)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..10_000).for_each(|number| assert!(sender.try_send((thread, number)))))
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        while next != [10_000; 4] {
            let [readable] = ready([Some(receiver.descriptor())], Duration::from_secs(20));
            assert!(readable, "{next:?}");
            for (thread, number) in receiver.drain() {
                let next = &mut next[thread as usize];
                assert_eq!(number, *next);
                *next += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        receiver.drain();
        assert_eq!(ready([Some(receiver.descriptor())], Duration::ZERO), [false], "it wakes though all were received");
    }

    #[test]
    fn a_message_without_room_is_refused_and_delays_no_sender() {
        let (sender, receiver) = PollableReceiver::bounded(1).unwrap();
        assert!(sender.try_send('a') && !sender.try_send('b'));
        assert_eq!(receiver.drain(), ['a']);
        drop(receiver);
        assert!(!sender.try_send('c'));
        assert!((&sender.waker.write).write(&[0]).is_ok(), "SIGPIPE in a program that does not ignore it");
    }
}
