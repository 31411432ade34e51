//! The styles of the screen, with colours and without.

use crate::trace::event::Kind;
use ratatui::style::{Color, Modifier, Style as Look};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    has_colours: bool,
}

impl Style {
    pub fn new(has_colours: bool) -> Style {
        Style { has_colours }
    }

    /// Without colours where NO_COLOR is set to anything: <https://no-color.org>.
    pub fn of_the_environment() -> Style {
        Style::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn coloured(self, look: Look, colour: Color) -> Look {
        if self.has_colours { look.fg(colour) } else { look }
    }

    pub fn plain(self) -> Look {
        Look::new()
    }

    pub fn bold(self) -> Look {
        Look::new().add_modifier(Modifier::BOLD)
    }

    /// Less important text.
    pub fn dim(self) -> Look {
        match self.has_colours {
            true => Look::new().fg(Color::DarkGray),
            false => Look::new().add_modifier(Modifier::DIM),
        }
    }

    pub fn bar(self) -> Look {
        Look::new().add_modifier(Modifier::REVERSED)
    }

    pub fn title(self, has_focus: bool) -> Look {
        if has_focus { self.coloured(self.bold(), Color::Cyan) } else { self.plain() }
    }

    pub fn heading(self) -> Look {
        self.dim()
    }

    pub fn selected(self) -> Look {
        Look::new().add_modifier(Modifier::REVERSED)
    }

    /// A fault, and what it concerns.
    pub fn fault(self) -> Look {
        self.coloured(Look::new(), Color::Yellow)
    }

    pub fn error(self) -> Look {
        self.coloured(self.bold(), Color::Red)
    }

    pub fn good(self) -> Look {
        self.coloured(self.bold(), Color::Green)
    }

    /// Rates above zero.
    pub fn busy(self) -> Look {
        self.coloured(Look::new(), Color::Green)
    }

    pub fn event(self, kind: Kind) -> Look {
        match kind {
            Kind::Refused | Kind::Unreachable | Kind::TimedOut | Kind::Reset | Kind::Lost => {
                self.coloured(self.plain(), Color::Red)
            }
            Kind::FaultSet | Kind::FaultHit | Kind::FaultHealed => self.fault(),
            Kind::HostUp | Kind::HostDown | Kind::Joined | Kind::Ended => {
                self.coloured(self.plain(), Color::Cyan)
            }
            Kind::Listening | Kind::Unlistened => self.coloured(self.plain(), Color::Green),
            Kind::Closed | Kind::NameAsked | Kind::NameAnswered | Kind::Bound => self.dim(),
            Kind::Dial | Kind::Connected | Kind::Accepted => self.plain(),
        }
    }
}
