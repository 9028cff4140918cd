//! Makes failing runs small: leaves out faults and work as long as the run fails in the same way.

use crate::check::ViolationKind;
use crate::run::Scenario;

/// The smallest scenario found that still ends in a violation of the same kind.
///
/// Delta debugging (Zeller and Hildebrandt 2002) over the planned faults, then over the work.
/// `tried` is told of each attempt. Returns `None` when the scenario does not fail at all.
pub fn shrink(scenario: &Scenario, mut tried: impl FnMut()) -> Option<(Scenario, ViolationKind)> {
    let kind = scenario.run().violations.first()?.kind;
    let mut best = scenario.clone();
    let plan = scenario.plan();
    let mut fails = |candidate: &Scenario| {
        tried();
        candidate.run().violations.first().is_some_and(|violation| violation.kind == kind)
    };
    let faults = complement(plan.faults.len(), &scenario.without_faults);
    let kept = minimise(faults, |kept| {
        let without_faults = complement(plan.faults.len(), kept);
        fails(&Scenario { without_faults, ..best.clone() })
    });
    best.without_faults = complement(plan.faults.len(), &kept);
    let work = complement(plan.work.len(), &scenario.without_work);
    let kept = minimise(work, |kept| {
        let without_work = complement(plan.work.len(), kept);
        fails(&Scenario { without_work, ..best.clone() })
    });
    best.without_work = complement(plan.work.len(), &kept);
    Some((best, kind))
}

fn complement(count: usize, of: &[usize]) -> Vec<usize> {
    (0..count).filter(|number| !of.contains(number)).collect()
}

/// A subset of `items` for which `fails` holds and from which no single item can be left out.
fn minimise(mut items: Vec<usize>, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    if items.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut pieces = 2;
    while items.len() > 1 {
        let size = items.len().div_ceil(pieces);
        let smaller = (0..items.len()).step_by(size).find_map(|start| {
            let end = (start + size).min(items.len());
            let rest: Vec<_> = [&items[..start], &items[end..]].concat();
            fails(&rest).then_some(rest)
        });
        match smaller {
            Some(rest) => {
                items = rest;
                pieces = pieces.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(items.len()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guilty_remain() {
        let guilty = [3, 17, 18];
        let mut runs = 0;
        let found = minimise((0..40).collect(), |kept| {
            runs += 1;
            guilty.iter().all(|item| kept.contains(item))
        });
        assert_eq!(found, guilty);
        assert!(runs < 200, "{runs} runs");
    }

    #[test]
    fn nothing_remains_where_nothing_is_needed() {
        assert!(minimise((0..40).collect(), |_| true).is_empty());
    }
}
