//! The queueing discipline of the loopback: only fq obeys the departure times of segments.

use lonet_core::diag::layout::DisciplineMessage;
use lonet_core::diag::wire::{self, Request, attribute};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use std::os::fd::AsRawFd;
use zerocopy::FromBytes;

const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const TCA_KIND: u16 = 1;
/// The parent of the root discipline (TC_H_ROOT).
const ROOT: u32 = u32::MAX;
/// The loopback's number in every network namespace.
const LOOPBACK: i32 = 1;

/// Whether the loopback's queueing discipline is fq.
pub fn is_fq() -> Result<bool, Errno> {
    let netlink = socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let mut request = Request::new(RTM_GETQDISC, wire::DUMP, 0);
    request.put(&DisciplineMessage::default());
    socket::send(netlink.as_raw_fd(), request.bytes(), MsgFlags::empty())?;
    let mut buffer = vec![0; 32 << 10];
    loop {
        // The next part of the reply is there once the previous one was received.
        let n = socket::recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
        for message in wire::messages(&buffer[..n]) {
            match message.kind {
                wire::DONE | wire::ERROR => return Ok(false),
                RTM_NEWQDISC if is_root_fq(message.body) => return Ok(true),
                _ => {}
            }
        }
        if n == 0 {
            return Err(Errno::EPROTO);
        }
    }
}

/// Whether a struct tcmsg with its attributes describes fq at the loopback's root.
fn is_root_fq(body: &[u8]) -> bool {
    let Ok((message, attributes)) = DisciplineMessage::read_from_prefix(body) else { return false };
    let is_root = message.ifindex == LOOPBACK && message.parent == ROOT;
    is_root && attribute(attributes, TCA_KIND) == Some(b"fq\0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn root_of_the_loopback_counts_alone() {
        let body = |ifindex: i32, parent: u32, name: &[u8]| {
            let message = DisciplineMessage { ifindex, parent, ..DisciplineMessage::default() };
            let mut body = message.as_bytes().to_vec();
            body.extend((4 + name.len() as u16).to_ne_bytes());
            body.extend(TCA_KIND.to_ne_bytes());
            body.extend(name);
            is_root_fq(&body)
        };
        assert!(body(LOOPBACK, ROOT, b"fq\0"));
        assert!(!body(2, ROOT, b"fq\0") && !body(LOOPBACK, 7, b"fq\0"));
        assert!(!body(LOOPBACK, ROOT, b"fq_codel\0") && !body(LOOPBACK, ROOT, b"noqueue\0"));
        assert!(!is_root_fq(&[0; size_of::<DisciplineMessage>() + 2]));
    }

    #[test]
    fn kernel_can_be_asked() {
        is_fq().expect("an answer");
    }
}
