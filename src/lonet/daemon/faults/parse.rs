//! Parses the hosts that a command names.

use super::Between;
use lonet_core::config::bare_host;

/// The hosts in `text`, which is `whole` or one side of it.
fn names(text: &str, whole: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| bare_host(name).to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(format!("{whole:?} contains an empty host name"));
    }
    Ok(names)
}

/// Parses the hosts of a command: two lists of names, or both in one argument with a `>` in the middle.
pub fn between(from: Option<&str>, to: Option<&str>) -> Result<Between, String> {
    let whole = match (from, to) {
        (Some(from), _) => from,
        (None, None) => return Ok(Between::default()),
        (None, Some(_)) => return Err("the first hosts are missing".into()),
    };
    let (from, to, one_way) = match (whole.split_once('>'), to) {
        (Some((from, to)), None) => (from, Some(to), true),
        (Some(_), Some(_)) => return Err("after a>b no other hosts can be named".into()),
        (None, to) => (whole, to, false),
    };
    let to = to.map_or(Ok(Vec::new()), |to| names(to, if one_way { whole } else { to }))?;
    Ok(Between { from: names(from, whole)?, to, one_way, ..Between::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_in_groups_and_with_a_direction() {
        let of = |from, to| between(Some(from), to).map(|b| (b.from.join("+"), b.to.join("+"), b.one_way));
        assert_eq!(of("a,b.lonet", Some("c")), Ok(("a+b".into(), "c".into(), false)));
        assert_eq!(of("a>b,c", None), Ok(("a".into(), "b+c".into(), true)));
        assert_eq!(of("a", None), Ok(("a".into(), String::new(), false)));
        assert!(between(None, Some("c")).is_err() && between(None, None).is_ok());
        for (from, to) in [("", None), ("a,", None), ("a>", None), (">a", None), ("a>b", Some("c"))] {
            assert!(of(from, to).is_err(), "{from} {to:?}");
        }
        assert_eq!(of("a>", None), Err("\"a>\" contains an empty host name".into()));
    }
}
