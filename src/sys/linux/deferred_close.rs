//! Hands the last close of a descriptor to the kernel; called by `inotify`.
//!
//! Closing the last descriptor of an inotify instance blocks for 5 to 24 ms (`fsnotify_destroy_group` in
//! `fs/notify/group.c` waits for the marks), and the end of a process closes all of its descriptors before its parent is
//! told. A descriptor that is in flight in a socket message stays open beyond that.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A second reference to a descriptor, which a kernel worker closes once this value, or this process, is gone.
///
/// The reference is in a message that is never received. The message waits at the socket `carried`, which is itself in
/// the message: with this process's own references gone, the two keep each other open, and only the garbage collector of
/// `AF_UNIX` (`net/unix/garbage.c`) frees them. It runs when `sender` is closed, since Linux 6.9 on a worker; before that in
/// the closing task, which then waits as it would have without this value.
#[derive(Debug)]
pub(super) struct DeferredClose {
    /// Closed first (fields are dropped in order): the collector must not find it open any more.
    _carried: OwnedFd,
    _sender: OwnedFd,
}

impl DeferredClose {
    /// Takes the reference.
    ///
    /// # Errors
    /// No descriptor left, or `ETOOMANYREFS`: more descriptors in flight than `RLIMIT_NOFILE` allows (unix(7)).
    pub(super) fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let (carried, sender) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let held = [carried.as_fd(), descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // The space is made for this one message.
        let _fits = control.push(SendAncillaryMessage::ScmRights(&held));
        sendmsg(&sender, &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
        Ok(Self { _carried: carried, _sender: sender })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::unistd::{pipe2, read};
    use std::os::fd::AsFd;

    #[test]
    fn the_descriptor_stays_open_without_its_owner_and_is_closed_after_the_reference() {
        // Closed in programs that other tests start meanwhile.
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let deferred = DeferredClose::of(writer.as_fd()).unwrap();
        drop(writer);
        assert_eq!(read(&reader, &mut [0]), Err(nix::errno::Errno::EAGAIN), "the message holds the writing end");
        drop(deferred);
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
        // End of file: the collector has closed it. Without a collector this would block for ever.
        assert_eq!(read(&reader, &mut [0]), Ok(0));
    }
}
