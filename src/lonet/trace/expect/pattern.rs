//! Patterns for texts: `laptop:*`, `$host:80`.

use std::rc::Rc;

/// A text in which `*` matches anything, and a capture what it has matched at its first use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Any,
    /// A capture, by its number in the file.
    Capture(usize),
}

/// The values of captures so far, by their numbers.
pub type Captured = Vec<Option<Rc<str>>>;

impl Pattern {
    /// Whether it is `*` or `-` alone, which also match an event without the field.
    pub fn matches_absence(&self) -> bool {
        match self.0.as_slice() {
            [Part::Any] => true,
            [Part::Text(text)] => text == "-",
            _ => false,
        }
    }

    /// Whether it matches a text. If so, stores new captures. `*` and captures match as much as they can.
    pub fn matches(&self, text: &str, captured: &mut Captured) -> bool {
        let mut new = Vec::new();
        if !match_parts(&self.0, text, captured, &mut new) {
            return false;
        }
        for (number, text) in new {
            if let Some(place) = captured.get_mut(number) {
                *place = Some(text.into());
            }
        }
        true
    }

    /// Whether it could match a text for some values of its captures.
    pub fn may_match(&self, text: &str) -> bool {
        let free = |part: &Part| if let Part::Capture(_) = part { Part::Any } else { part.clone() };
        let parts: Vec<Part> = self.0.iter().map(free).collect();
        match_parts(&parts, text, &Vec::new(), &mut Vec::new())
    }
}

fn match_parts<'t>(
    parts: &[Part],
    text: &'t str,
    captured: &Captured,
    new: &mut Vec<(usize, &'t str)>,
) -> bool {
    let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
    match part {
        Part::Text(start) => {
            text.strip_prefix(start.as_str()).is_some_and(|text| match_parts(rest, text, captured, new))
        }
        Part::Any => ends(text).any(|end| match_parts(rest, &text[end..], captured, new)),
        Part::Capture(number) => {
            let known = new.iter().find(|(n, _)| n == number).map(|(_, text)| (*text).to_owned());
            let known = known.or_else(|| Some(captured.get(*number)?.as_deref()?.to_owned()));
            if let Some(known) = known {
                return text.strip_prefix(&*known).is_some_and(|text| match_parts(rest, text, captured, new));
            }
            for end in ends(text).filter(|end| *end > 0) {
                let before = new.len();
                new.push((*number, &text[..end]));
                if match_parts(rest, &text[end..], captured, new) {
                    return true;
                }
                new.truncate(before);
            }
            false
        }
    }
}

/// The possible ends of a part of a text, the longest first.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    (0..=text.len()).rev().filter(|end| text.is_char_boundary(*end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Any, Capture};

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn star_matches_anything() {
        let like = |parts: &[Part], text: &str| Pattern(parts.to_vec()).matches(text, &mut Vec::new());
        assert!(like(&[Any], "") && like(&[Any], "α:1") && like(&[text("α:"), Any], "α:17"));
        assert!(like(&[Any, text(":1")], "α:1:1") && !like(&[Any, text(":1")], "α:17"));
        assert!(!like(&[], "α") && like(&[], ""));
    }

    #[test]
    fn capture_matches_what_it_matched_first() {
        let pattern = Pattern(vec![Capture(0), text(":"), Capture(1)]);
        let mut captured = vec![None, None];
        assert!(pattern.matches("web:80", &mut captured));
        assert_eq!((captured[0].as_deref(), captured[1].as_deref()), (Some("web"), Some("80")));
        assert!(pattern.matches("web:80", &mut captured) && !pattern.matches("web:81", &mut captured));
        assert!(pattern.may_match("db:1") && !pattern.may_match("db"));
        assert!(!Pattern(vec![Capture(0)]).matches("", &mut vec![None]), "a capture is not empty");
        let twice = Pattern(vec![Capture(0), text("-"), Capture(0)]);
        assert!(twice.matches("a-a", &mut vec![None]) && !twice.matches("a-b", &mut vec![None]));
    }

    #[test]
    fn failed_match_captures_nothing() {
        let mut captured = vec![None];
        assert!(!Pattern(vec![Capture(0), text(":80")]).matches("web:81", &mut captured));
        assert_eq!(captured, [None]);
    }
}
