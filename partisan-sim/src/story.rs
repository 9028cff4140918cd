//! Named scenarios: how clusters are formed and what befalls them, as in the papers.
//!
//! Besides the faults that are drawn by class, a story plans certain ones: exactly so many nodes
//! die at once, or so many are replaced each minute.

use std::fmt;
use std::str::FromStr;

use partisan_proto::{Duration, Instant};

use crate::draw::{Label, Stream};
use crate::fault::Fault;
use crate::network::Death;
use crate::workload::{Bootstrap, Work};
use crate::world::Restart;

/// What befalls a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Nothing; everybody joins one node, one after the other.
    Contact,
    /// Nothing; everybody joins the one before, one after the other.
    Chain,
    /// Nothing; everybody joins any one before, one after the other.
    Random,
    /// Nothing; everybody joins one node at once.
    FlashCrowd,
    /// This percentage of the nodes dies at once, half-way through, and stays dead.
    MassFailure(u8),
    /// In each minute of the last three quarters this percentage of the nodes dies, and is replaced
    /// a few seconds later by nodes of the same name that know nothing and join anew.
    Churn(u8),
}

impl Story {
    /// One of each, with the usual percentages.
    pub const ALL: [Self; 6] = [
        Self::Contact,
        Self::Chain,
        Self::Random,
        Self::FlashCrowd,
        Self::MassFailure(50),
        Self::Churn(5),
    ];

    /// How the cluster is formed.
    #[must_use]
    pub const fn bootstrap(self) -> Bootstrap {
        match self {
            Self::Chain => Bootstrap::Chain,
            Self::Random => Bootstrap::Random,
            Self::FlashCrowd => Bootstrap::AtOnce,
            Self::Contact | Self::MassFailure(_) | Self::Churn(_) => Bootstrap::Contact,
        }
    }

    /// What goes wrong in a run of `nodes` nodes that lasts for `span`, and what is done about it.
    #[must_use]
    pub fn plan(self, seed: u64, nodes: usize, span: Duration) -> Plan {
        let mut stream = Stream::new(seed, Label::Story, 0);
        let mut plan = Plan::default();
        match self {
            Self::MassFailure(percent) => {
                let count = nodes * usize::from(percent.min(100)) / 100;
                for node in victims(&mut stream, nodes, count) {
                    let fault = Fault::Crash { node, death: Death::Process, restart: None };
                    plan.faults.push((Instant::ZERO + span / 2, fault));
                }
            }
            Self::Churn(percent) => {
                plan = churn(&mut stream, nodes, (span / 4, span), percent);
            }
            Self::Contact | Self::Chain | Self::Random | Self::FlashCrowd => {}
        }
        plan
    }
}

/// What a story plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Faults, by time.
    pub faults: Vec<(Instant, Fault)>,
    /// Work, by time.
    pub work: Vec<(Instant, Work)>,
}

/// Different nodes, drawn.
fn victims(stream: &mut Stream, nodes: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..nodes).collect();
    for i in 0..count.min(nodes) {
        let other = i + stream.below(nodes - i);
        all.swap(i, other);
    }
    all.truncate(count);
    all
}

/// In each minute between two times this percentage of the nodes dies and is replaced, as
/// [`Story::Churn`] says.
pub(crate) fn churn(
    stream: &mut Stream,
    nodes: usize,
    (begin, end): (Duration, Duration),
    percent: u8,
) -> Plan {
    let mut plan = Plan::default();
    if nodes < 2 {
        return plan;
    }
    let minutes = (end - begin).as_secs_f64() / 60.0;
    let count = (nodes as f64 * f64::from(percent) / 100.0 * minutes).round() as usize;
    let mut times: Vec<_> = (0..count).map(|_| stream.span(begin, end)).collect();
    times.sort_unstable();
    for at in times {
        let node = stream.below(nodes);
        let contact = (node + 1 + stream.below(nodes - 1)) % nodes;
        let away = stream.span(Duration::from_secs(1), Duration::from_secs(5));
        let restart = Restart { keep_state: false, new_address: false };
        let (death, restart) = (Death::Process, Some((away, restart)));
        plan.faults.push((Instant::ZERO + at, Fault::Crash { node, death, restart }));
        let soon = Instant::ZERO + at + away + Duration::from_millis(1);
        plan.work.push((soon, Work::Join { node, contact }));
    }
    plan.work.sort_by_key(|(at, _)| *at);
    plan
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact => f.write_str("contact"),
            Self::Chain => f.write_str("chain"),
            Self::Random => f.write_str("random"),
            Self::FlashCrowd => f.write_str("flash-crowd"),
            Self::MassFailure(percent) => write!(f, "mass-failure={percent}"),
            Self::Churn(percent) => write!(f, "churn={percent}"),
        }
    }
}

impl FromStr for Story {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, percent) = match text.split_once('=') {
            Some((name, percent)) => {
                let percent = percent.trim_end_matches('%').parse().ok();
                let percent = percent.filter(|percent| *percent <= 100);
                (name, Some(percent.ok_or("write a percentage up to 100 behind the `=`")?))
            }
            None => (text, None),
        };
        let found = Self::ALL.into_iter().find(|story| {
            let usual = story.to_string();
            usual.split('=').next() == Some(name)
        });
        match (found, percent) {
            (Some(Self::MassFailure(_)), Some(percent)) => Ok(Self::MassFailure(percent)),
            (Some(Self::Churn(_)), Some(percent)) => Ok(Self::Churn(percent)),
            (Some(story), None) => Ok(story),
            (Some(_), Some(_)) => Err(format!("`{name}` takes no percentage")),
            (None, _) => Err(format!(
                "choose contact, chain, random, flash-crowd, mass-failure=50 or churn=5, not `{text}`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(120);

    #[test]
    fn a_mass_failure_kills_exactly_so_many_at_once() {
        let plan = Story::MassFailure(30).plan(1, 50, SPAN);
        let nodes: std::collections::BTreeSet<_> = plan
            .faults
            .iter()
            .map(|(at, fault)| match fault {
                Fault::Crash { node, restart: None, .. } if at.as_secs_f64() == 60.0 => *node,
                other => panic!("{other:?} at {at}"),
            })
            .collect();
        assert_eq!((nodes.len(), plan.faults.len(), plan.work.len()), (15, 15, 0));
        assert_ne!(plan, Story::MassFailure(30).plan(2, 50, SPAN));
    }

    #[test]
    fn churn_replaces_its_share_each_minute() {
        let plan = Story::Churn(5).plan(1, 100, SPAN);
        // A minute and a half of 5 in 100.
        assert_eq!((plan.faults.len(), plan.work.len()), (8, 8));
        assert!(plan.faults.iter().all(|(at, _)| at.as_secs_f64() >= 30.0));
        assert!(plan.work.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(Story::Churn(5).plan(1, 1, SPAN), Plan::default());
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for story in Story::ALL {
            assert_eq!(story.to_string().parse(), Ok(story));
        }
        assert_eq!("mass-failure=80%".parse(), Ok(Story::MassFailure(80)));
        assert_eq!("churn".parse(), Ok(Story::Churn(5)));
        for bad in ["mass-failure=101", "chain=3", "earthquake", "churn=", ""] {
            assert!(bad.parse::<Story>().is_err(), "{bad}");
        }
    }
}
