//! The state's replies to messages.

use super::{Index, Outcome, api};
use lonet_core::control::Reply;
use nix::errno::Errno;

/// The reply to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateReply {
    Reply(Reply<'static>),
    Host(Named),
    Refuse(Errno, String),
    /// [`Reply::Names`]
    Names {
        local: api::HostPort,
        peer: Option<api::HostPort>,
        own: bool,
        member: bool,
    },
}

/// A resolved host; see [`Reply::Host`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub index: Index,
    pub name: String,
    pub ascii: String,
    /// Programs may cache the reply until [`super::Changes::names`].
    pub is_cacheable: bool,
}

impl From<Reply<'static>> for StateReply {
    fn from(reply: Reply<'static>) -> StateReply {
        StateReply::Reply(reply)
    }
}

impl From<Outcome> for StateReply {
    fn from(outcome: Outcome) -> StateReply {
        match outcome {
            Ok(reply) => StateReply::Reply(reply),
            Err((errno, text)) => StateReply::Refuse(errno, text),
        }
    }
}
