//! What can be written on the command line.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use partisan_proto::Duration;
use partisan_proto::config::{
    ClientServerConfig, HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, StaticConfig,
    StrategyConfig, XBotConfig, duration_text,
};
use partisan_sim::draw::{Label, draw};
use partisan_sim::fault::FaultClass;
use partisan_sim::paper::Paper;
use partisan_sim::workload::{Bootstrap, Load};
use partisan_sim::{Latency, Scenario, Story, Wire};

/// The most nodes that can be asked for.
const MOST: usize = 1_000_000;

/// Clusters of up to so many nodes encode their frames unless told otherwise.
const SMALL: usize = 200;

/// Clusters of more than so many nodes ask for huge pages.
pub(crate) const LARGE: usize = 1_000;

/// Simulates Partisan clusters: deterministic, with faults from a seed.
///
/// Exit codes: 0 all is well, 10 something happened that never must, 11 something did not happen
/// in time, 12 a panic, 13 two runs of one seed differ, 20 a gate of a paper's experiments is
/// missed, 2 bad arguments.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// End with one JSON object on the last line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one seed.
    Run {
        /// Which.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Run many seeds, and print how to repeat those that fail.
    Sweep {
        /// Which, as in `0..200`: 0 to 199.
        #[arg(long, default_value = "0..100", value_parser = seeds)]
        seeds: Range<u64>,
        #[command(flatten)]
        cluster: Cluster,
        /// How many at once; by default as many as there are processors.
        #[arg(long)]
        jobs: Option<usize>,
        /// Run every so manieth seed twice and compare the hashes.
        #[arg(long, default_value_t = 10)]
        twice: u64,
    },
    /// Run one seed again, and show what happened before it failed.
    Replay {
        /// Which.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        cluster: Cluster,
        /// Planned faults to leave out, by number.
        #[arg(long, value_delimiter = ',')]
        drop_faults: Vec<usize>,
        /// Planned work to leave out, by number.
        #[arg(long, value_delimiter = ',')]
        drop_work: Vec<usize>,
        /// Print the last events before the end.
        #[arg(long)]
        trace: bool,
        /// How many lines of them.
        #[arg(long, default_value_t = 200)]
        lines: usize,
        /// Of this node alone.
        #[arg(long)]
        node: Option<usize>,
        /// Leave out all faults and work that are not needed for it to fail.
        #[arg(long)]
        shrink: bool,
    },
    /// Run one seed and write a page with pictures and numbers of the overlay.
    Report {
        /// Which.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        cluster: Cluster,
        /// Where to write the page; it needs nothing else.
        #[arg(short, long, default_value = "partisan-report.html")]
        output: PathBuf,
        /// A folder for the pictures as files of their own as well.
        #[arg(long)]
        pictures: Option<PathBuf>,
    },
    /// Repeat the experiments of a paper, and compare with what it says; exits with 20 where a
    /// gate is missed.
    Paper {
        /// Which.
        paper: Paper,
        /// Smaller clusters and fewer repetitions: seconds instead of minutes.
        #[arg(long)]
        quick: bool,
        /// With how many seeds, from 1.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        seeds: u64,
        /// How many experiments at once; by default as many as there are processors.
        #[arg(long)]
        jobs: Option<usize>,
        /// Where to write a page with the table and curves.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Measure events a second and bytes a node at several sizes.
    Bench {
        /// What the nodes do; by default what suits the manager.
        #[arg(long)]
        shape: Option<Shape>,
        /// The sizes; by default 10,30,100,300 for `mesh` and 1000,10000,100000 for the others.
        #[arg(long, value_delimiter = ',', value_parser = size)]
        sizes: Vec<usize>,
        /// The seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The manager, for `mesh` and `view`.
        #[arg(long, default_value = "pluggable")]
        manager: Manager,
        /// How long, in simulated time.
        #[arg(long = "for", default_value = "60s", value_parser = span)]
        span: Duration,
    },
}

impl Command {
    /// Whether so many nodes are asked for that it matters how their memory is had.
    pub(crate) fn is_large(&self) -> bool {
        match self {
            Self::Run { cluster, .. }
            | Self::Sweep { cluster, .. }
            | Self::Replay { cluster, .. }
            | Self::Report { cluster, .. } => {
                cluster.nodes.as_ref().is_some_and(|sizes| sizes.end > LARGE)
            }
            Self::Paper { quick, .. } => !quick,
            Self::Bench { .. } => true,
        }
    }

    /// Whether several managers are asked for where only one can be.
    pub(crate) fn has_managers_too_many(&self) -> bool {
        match self {
            Self::Run { cluster, .. }
            | Self::Replay { cluster, .. }
            | Self::Report { cluster, .. } => cluster.manager.0.len() > 1,
            Self::Sweep { .. } | Self::Paper { .. } | Self::Bench { .. } => false,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Cluster {
    /// Who decides who is a member; `all` sweeps with one after the other.
    #[arg(long, default_value = "pluggable", value_parser = managers)]
    manager: Managers,
    /// How many nodes: a number, or a range such as `3..8` to draw from, 8 included.
    #[arg(long, value_parser = sizes)]
    nodes: Option<Range<usize>>,
    /// How long the first part lasts, in simulated time.
    #[arg(long = "for", default_value = "60s", value_parser = span)]
    span: Duration,
    /// `none`, `all`, or a list of crash, pause, partition, cut, refuse, black-hole, clog, slow.
    #[arg(long, default_value = "none", value_parser = faults)]
    faults: Faults,
    /// What applications do; by default churn where there are faults, else traffic.
    #[arg(long, alias = "workload")]
    load: Option<Load>,
    /// A named scenario: `contact`, `chain`, `random`, `flash-crowd`, `mass-failure=PERCENT` of the
    /// nodes at once half-way, or `churn=PERCENT` of them replaced each minute.
    #[arg(long)]
    scenario: Option<Story>,
    /// How the cluster is formed; by default as the scenario says, else drawn where there are
    /// faults, else by one contact.
    #[arg(long)]
    bootstrap: Option<Bootstrap>,
    /// `lan`, `wan`, `regions`, `zones`, `plane`, a span such as `5ms`, or a range such as
    /// `10..50ms` to draw one from for each link.
    #[arg(long, default_value = "lan", value_parser = latency)]
    latency: Latency,
    /// Whether frames are turned to bytes and back; by default in clusters of up to 200 nodes.
    #[arg(long)]
    wire: Option<WireChoice>,
    /// Check nothing: faster.
    #[arg(long)]
    no_checks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// A cluster forms and rests.
    Mesh,
    /// As `mesh`, at the sizes of partial views.
    View,
    /// Each node has five fixed random peers and sends one small message a second.
    Sparse,
}

impl Shape {
    pub(crate) const fn sizes(self) -> &'static [usize] {
        match self {
            Self::Mesh => &[10, 30, 100, 300],
            Self::View | Self::Sparse => &[1_000, 10_000, 100_000],
        }
    }
}

/// One manager, or several to sweep with one after the other.
#[derive(Clone, Debug)]
struct Managers(Vec<Manager>);

fn managers(text: &str) -> Result<Managers, String> {
    match text {
        "all" => Ok(Managers(Manager::value_variants().to_vec())),
        name => {
            Manager::from_str(name, false).map(|manager| Managers(vec![manager])).map_err(|_| {
                let all: Vec<_> = Manager::value_variants().iter().map(|m| m.to_string()).collect();
                format!("choose one of {}, or all", all.join(", "))
            })
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("?", |value| value.get_name()))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Manager {
    /// Full mesh.
    Pluggable,
    /// Fixed lists of peers, drawn from the seed.
    Static,
    /// Partial views by SCAMP, version 1.
    ScampV1,
    /// Partial views by SCAMP, version 2.
    ScampV2,
    /// The first third of the nodes, and two at least, are servers; the others are clients.
    ClientServer,
    /// Partial views by HyParView.
    #[value(name = "hyparview")]
    HyParView,
    /// HyParView with X-BOT, which tries an exchange each second and takes every one that gains
    /// anything.
    #[value(name = "xbot")]
    XBot,
}

impl Manager {
    /// At what sizes it is measured.
    pub(crate) const fn shape(self) -> Shape {
        if matches!(self, Self::Pluggable) { Shape::Mesh } else { Shape::View }
    }

    pub(crate) fn config(self) -> ManagerConfig {
        match self {
            Self::Pluggable => ManagerConfig::default(),
            Self::ScampV1 => strategy(StrategyConfig::ScampV1(ScampConfig::default())),
            Self::ScampV2 => strategy(StrategyConfig::ScampV2(ScampConfig::default())),
            Self::ClientServer => ManagerConfig::ClientServer(ClientServerConfig::default()),
            Self::HyParView => ManagerConfig::from(HyParViewConfig::default()),
            Self::XBot => ManagerConfig::from(eager_xbot()),
            Self::Static => ManagerConfig::Static(StaticConfig::default()),
        }
    }
}

/// Exchanges happen as often as they can, so that faults strike in the midst of them; views are
/// small, so that clusters of a few nodes have somebody to exchange; and a few who join are a crowd.
fn eager_xbot() -> HyParViewConfig {
    let xbot = XBotConfig {
        interval: Duration::from_secs(1),
        least_gain: 0,
        least_saving: 0,
        ..XBotConfig::default()
    };
    let xbot = Some(xbot);
    HyParViewConfig { active_size: 3, joins_per_second: 1, xbot, ..HyParViewConfig::default() }
}

fn strategy(strategy: StrategyConfig) -> ManagerConfig {
    ManagerConfig::Pluggable(PluggableConfig { strategy, ..PluggableConfig::default() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WireChoice {
    Encoded,
    Typed,
}

#[derive(Clone, Debug)]
struct Faults(Vec<FaultClass>);

fn faults(text: &str) -> Result<Faults, String> {
    let advice = |name: &str| {
        let names = FaultClass::value_variants().iter().filter_map(FaultClass::to_possible_value);
        let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
        format!("choose none, all, or some of {} with commas, not `{name}`", names.join(", "))
    };
    match text {
        "none" => Ok(Faults(Vec::new())),
        "all" => Ok(Faults(FaultClass::ALL.to_vec())),
        list => list
            .split(',')
            .map(|name| FaultClass::from_str(name, true).map_err(|_| advice(name)))
            .collect::<Result<_, _>>()
            .map(Faults),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    duration_text::parse(text).ok_or_else(|| "write a whole number and a unit, as in 60s".into())
}

fn latency(text: &str) -> Result<Latency, String> {
    let advice = "choose lan, wan, regions, zones, plane, a span such as 5ms, or one for each link \
                  such as 10..50ms";
    Latency::parse(text).ok_or_else(|| advice.into())
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("write a range, as in 0..200")?;
    let parse = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    let seeds: Range<u64> = parse(first)?..parse(end)?;
    // A sweep of nothing would pass.
    if seeds.is_empty() {
        Err("the range is empty; its end is not part of it".into())
    } else {
        Ok(seeds)
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("there must be at least one node".to_owned()),
        Ok(number) if number > MOST => Err(format!("there may be at most {MOST} nodes")),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("`{text}` is no number")),
    }
}

fn sizes(text: &str) -> Result<Range<usize>, String> {
    match text.split_once("..") {
        Some((least, most)) => {
            let (least, most) = (size(least)?, size(most)?);
            if least > most { Err("the range is empty".into()) } else { Ok(least..most + 1) }
        }
        None => size(text).map(|number| number..number + 1),
    }
}

impl Cluster {
    /// The manager, where there is one.
    fn manager(&self) -> Manager {
        self.manager.0.first().copied().unwrap_or(Manager::Pluggable)
    }

    /// The same with each of its managers alone, and what that is called.
    pub(crate) fn each_manager(&self) -> Vec<(String, Self)> {
        let alone = |manager: &Manager| {
            (manager.to_string(), Self { manager: Managers(vec![*manager]), ..self.clone() })
        };
        self.manager.0.iter().map(alone).collect()
    }

    /// The scenario of one seed.
    pub(crate) fn scenario(&self, seed: u64, sizes: &Range<usize>) -> Scenario {
        let sizes = self.nodes.as_ref().unwrap_or(sizes);
        let spread = sizes.end - sizes.start;
        let nodes = sizes.start + (draw(seed, Label::Size, 0, 0) % spread as u64) as usize;
        let troubled = !self.faults.0.is_empty();
        let formed = self.bootstrap.or_else(|| self.scenario.map(Story::bootstrap));
        let load = if troubled { Load::Churn } else { Load::Traffic };
        let encoded = self.wire.map_or(nodes <= SMALL, |wire| wire == WireChoice::Encoded);
        Scenario {
            seed,
            nodes,
            manager: self.manager().config(),
            span: self.span,
            faults: self.faults.0.clone(),
            load: self.load.unwrap_or(load),
            bootstrap: formed.or_else(|| (!troubled).then_some(Bootstrap::Contact)),
            story: self.scenario,
            latency: self.latency.clone(),
            wire: if encoded { Wire::Encoded } else { Wire::Typed },
            checks: !self.no_checks,
            ..Scenario::default()
        }
    }

    /// The arguments that a command to repeat a seed needs besides seed and nodes, as given but for
    /// the manager, of which there is one.
    pub(crate) fn as_given(&self) -> String {
        let mut out = format!(" --manager {}", self.manager());
        let mut arguments = std::env::args().skip(2);
        let mine =
            ["for", "faults", "load", "workload", "scenario", "bootstrap", "latency", "wire"];
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                continue;
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            if mine.contains(&name) {
                let value = value.or_else(|| arguments.next()).unwrap_or_default();
                out += &format!(" --{name} {value}");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_that_holds_none_is_refused() {
        assert_eq!(seeds("3..9"), Ok(3..9));
        for empty in ["9..3", "5..5"] {
            assert!(seeds(empty).unwrap_err().contains("empty"));
        }
        assert!(seeds("7").is_err());
    }

    #[test]
    fn sizes_that_cannot_be_run_are_refused() {
        assert_eq!(sizes("3..8"), Ok(3..9));
        assert_eq!(sizes("4"), Ok(4..5));
        for bad in ["0", "0..3", "8..3", "1..18446744073709551615", "99999999999"] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }
}
