//! The replies of the state.

use super::{Index, Outcome, api};
use lonet_core::control::Reply;
use nix::errno::Errno;

/// The reply to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
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
    /// The answer may be cached until [`super::Changes::names`].
    pub stands: bool,
}

impl From<Reply<'static>> for Answer {
    fn from(reply: Reply<'static>) -> Answer {
        Answer::Reply(reply)
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Ok(reply) => Answer::Reply(reply),
            Err((errno, text)) => Answer::Refuse(errno, text),
        }
    }
}
