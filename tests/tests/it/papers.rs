//! What the papers claim, one test each, in clusters small enough for seconds. The full sizes are
//! run by `partisan-sim paper`.

use partisan_sim::paper::{Findings, baseline, scamp};

fn judge(findings: &Findings) {
    assert!(!findings.rows.is_empty());
    assert!(!findings.missed(), "\n{}", findings.table());
}

#[test]
fn scamp_views_grow_with_the_logarithm_of_the_cluster() {
    let mut findings = Findings::default();
    scamp::views(1, 150, 1, 0, &mut findings);
    scamp::views(1, 150, 2, 4, &mut findings);
    judge(&findings);
}

#[test]
fn fixed_random_neighbors_are_a_random_graph_and_fall_apart_as_theory_says() {
    let mut findings = Findings::default();
    baseline::at_rest(1, 500, &mut findings);
    baseline::failure(1, 500, 30, &mut findings);
    baseline::failure(1, 500, 90, &mut findings);
    judge(&findings);
}
