//! "Did you mean …?": the nearest of the names that exist.

/// Names longer than this are no slip of the finger, and would cost time to compare.
const LONGEST: usize = 64;

/// Shorter names are part of too many others.
const SHORTEST_PART: usize = 4;

/// The candidate nearest to a misspelt name, if any is near enough to be what was meant; else the
/// first of which it is a part (`backlog` of `socketConnectionBacklog`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    let mut whole: Option<&str> = None;
    for candidate in candidates {
        let have: Vec<char> =
            candidate.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
        if whole.is_none() && wanted.len() >= SHORTEST_PART && have.len() > wanted.len() {
            whole = have.windows(wanted.len()).any(|part| part == wanted).then_some(candidate);
        }
        let longer = wanted.len().max(have.len());
        if wanted.len().abs_diff(have.len()) > longer / 3 + 1 {
            continue;
        }
        let distance = distance(&wanted, &have);
        // One slip in three letters is still readable; more is another word.
        let near = distance <= (longer / 3).max(1) && distance < longer;
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate).or(whole)
}

/// How many insertions, deletions, replacements and swaps of neighbours lead from one to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_from = None;
    for (row, &a) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(to.len() + 1);
        current.push(row + 1);
        let mut previous_to = None;
        for (column, &b) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let mut least = (at(&last, column) + usize::from(a != b))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            if previous_from == Some(b) && previous_to == Some(a) && column > 0 {
                least = least.min(at(&before_last, column - 1).saturating_add(1));
            }
            current.push(least);
            previous_to = Some(b);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_from = Some(a);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn between(from: &str, to: &str) -> usize {
        distance(&from.chars().collect::<Vec<_>>(), &to.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distance_counts_slips() {
        assert_eq!(between("heartbeat", "heartbeat"), 0);
        assert_eq!(between("hearbeat", "heartbeat"), 1);
        assert_eq!(between("haertbeat", "heartbeat"), 1);
        assert_eq!(between("", "tcp"), 3);
        assert_eq!(between("timer", "logger"), 4);
    }

    #[test]
    fn suggests_the_nearest_and_nothing_far() {
        let names = ["heartbeat", "connectionRetry", "cipher", "hmac"];
        assert_eq!(nearest("heartbaet", names), Some("heartbeat"));
        assert_eq!(nearest("connectionretry", names), Some("connectionRetry"));
        assert_eq!(nearest("connectRetry", names), Some("connectionRetry"));
        assert_eq!(nearest("hmca", names), Some("hmac"));
        assert_eq!(nearest("retry", names), Some("connectionRetry"));
        assert_eq!(nearest("beat", names), Some("heartbeat"));
        assert_eq!(nearest("art", names), None);
        assert_eq!(nearest("banana", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("x", ["y"]), None);
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_bounded(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            prop_assert_eq!(between(&a, &b), between(&b, &a));
            prop_assert!(between(&a, &b) <= a.len().max(b.len()));
            prop_assert_eq!(between(&a, &b) == 0, a == b);
        }
    }
}
