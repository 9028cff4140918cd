//! What can be written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use partisan_proto::config::duration_text;
use partisan_tokio::{Address, ClusterName, NodeName, Tag};

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well; a node: it stopped in good order (`quit`, `ctl shutdown`, SIGTERM, SIGINT)
  1  the node could not start or stop, or the demo saw something else than it should
  2  wrong arguments or settings
  3  ctl: the node answered with an error
  4  ctl: nobody answers at the control socket";

const NODE_HELP: &str = "\
Settings come from the file given with --config, then from the flags, which win. An annotated
example of the file is partisan-tokio/examples/partisan.toml.

Commands are read from standard input, one a line; `help` lists them. At a terminal there is a
prompt with a history, and Ctrl-D or Ctrl-C stops the node. From a pipe the lines are read to their
end, and the node goes on running after it.

The node stops on SIGTERM, SIGINT, `quit` or `ctl shutdown`: it says goodbye, sends what is queued,
and stays a member of its cluster, so that it may come back. A second signal stops it at once. Use
`leave` first to leave the cluster for good.

What the node receives is printed: messages to it, and broadcasts to all.

Example, three nodes of one cluster on one machine:
  partisan node --name a@127.0.0.1 --listen 127.0.0.1:9001 --control /tmp/a.sock
  partisan node --name b@127.0.0.1 --listen 127.0.0.1:9002 --join 127.0.0.1:9001
  partisan node --name c@127.0.0.1 --listen 127.0.0.1:9003 --join 127.0.0.1:9001
  partisan ctl --control /tmp/a.sock members
  partisan ctl --control /tmp/a.sock broadcast hello, everybody

With `--manager hyparview` on each of them a cluster may have thousands of nodes. With
`--manager client-server` each needs a role: `--tag server` or `--tag client`.";

const CTL_HELP: &str = "\
A node is named in full (`store-1@10.0.0.1`) or by the part before the `@` where that is unique.

The protocol is one JSON object a line each way, for scripts in any language:
  {\"do\":\"members\"}  {\"do\":\"join\",\"address\":\"10.0.0.1:9000\",\"wait_ms\":5000}
  {\"members\":[...]}   {\"done\":\"...\"}   {\"error\":\"...\"}
A request has at most 64 KiB. The socket belongs to the user who started the node.";

/// Runs nodes of a Partisan cluster, asks running ones, and shows what a cluster does.
#[derive(Debug, Parser)]
#[command(name = "partisan", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run a node.
    #[command(after_help = NODE_HELP)]
    Node(Box<NodeArguments>),
    /// Ask a running node, through the control socket that it was started with.
    #[command(after_help = CTL_HELP)]
    Ctl(CtlArguments),
    /// Watch a cluster of real nodes form, talk, lose a node, get it back, and shrink.
    ///
    /// All nodes run in this process, on free ports of the loopback interface. Everything told is
    /// checked: the exit code is 0 only if all of it came true in time.
    Demo(DemoArguments),
}

#[derive(Debug, Args)]
pub(crate) struct NodeArguments {
    /// The node's name, unique in its cluster; by convention name@host.
    #[arg(long)]
    pub(crate) name: Option<NodeName>,
    /// Where to listen, as in 10.0.0.1:9000 or [::1]:9000; several with commas. Port 0 is any free
    /// one, and is told at the start [default: 127.0.0.1:0].
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) listen: Vec<Address>,
    /// Join the cluster of whoever answers there; may be repeated. Tried until it succeeds.
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) join: Vec<Address>,
    /// What to tell others instead of the addresses bound; needed behind address translation, or
    /// when listening at 0.0.0.0.
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) advertise: Vec<Address>,
    /// The settings, a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to keep the membership across restarts; without it a restarted node must join again.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Who decides who is a member and who is connected. All nodes of a cluster need the same. Its
    /// settings come from the file, where that configures this one, else they are the defaults.
    #[arg(long, value_enum)]
    pub(crate) manager: Option<ManagerName>,
    /// A label told to others; may be repeated. Makes a server or a client with
    /// `--manager client-server`, and takes a reserved place in views of HyParView.
    #[arg(long = "tag", value_delimiter = ',', value_name = "TAG")]
    pub(crate) tags: Vec<Tag>,
    /// The name of the cluster; nodes of others are refused.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// A file with the secret that all nodes of the cluster share, at least 16 bytes; white space
    /// around it does not count. It is proved, never sent.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Answer `partisan ctl` at this Unix socket, which is made, and removed at the end.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,
}

/// The managers, and the strategies of the pluggable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManagerName {
    /// Everybody is connected to everybody: the default, for up to some hundred nodes.
    Pluggable,
    /// Each is connected to a few, and knows some more: for thousands of nodes.
    #[value(name = "hyparview")]
    HyParView,
    /// Servers are connected to each other, clients to servers.
    ClientServer,
    /// Those that the settings list, and those that were joined; nobody is learned of.
    Static,
    /// Views that grow with the logarithm of the cluster; removals are flooded.
    #[value(name = "scamp-v1")]
    ScampV1,
    /// As scamp-v1; whoever leaves mends the views of others.
    #[value(name = "scamp-v2")]
    ScampV2,
}

#[derive(Debug, Args)]
pub(crate) struct CtlArguments {
    /// The control socket of the node.
    #[arg(long, value_name = "SOCKET", global = true)]
    pub(crate) control: Option<PathBuf>,
    /// Print the answer as one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) what: Ask,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Who is in the cluster, where, and whether connected.
    Members,
    /// Every open connection.
    Connections,
    /// What is known of each other member: round-trip time, failures.
    Peers,
    /// How often what happened since the start.
    Counters,
    /// Join the cluster of whoever answers at an address.
    Join {
        /// Where.
        address: Address,
        /// How long to wait for it, as in 500ms; 0s: not at all. It goes on when that is over.
        #[arg(long, default_value = "10s", value_parser = span)]
        wait: Duration,
    },
    /// Leave the cluster; the node goes on alone.
    Leave,
    /// Remove another node from the cluster, dead or alive; the node that is asked leaves if it is
    /// itself meant.
    Remove {
        /// Which.
        node: String,
    },
    /// Who is next to the node in the overlay: by whom broadcasts and relayed messages go.
    Neighbors,
    /// Whom the manager is connected to on purpose, and whom it knows besides.
    Views,
    /// How broadcasts of a node travel through the one that is asked.
    Tree {
        /// Whose broadcasts.
        root: String,
    },
    /// Tell a text to all nodes of the cluster.
    Broadcast {
        /// What to say.
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// The processes of the node, or of another one.
    Processes {
        /// Of which node; the one that is asked when it is left out.
        node: Option<String>,
    },
    /// Whom a name stands for on a node.
    Whereis {
        /// On which node.
        node: String,
        /// Which name.
        name: String,
    },
    /// The calls under way, and what became of those before.
    Calls,
    /// Which injected partitions the node is in.
    Partitions,
    /// For tests: stop sending messages to neighbours, here and so many hops around. Says what the
    /// partition is called.
    Partition {
        /// How many hops around.
        #[arg(long, default_value_t = 0)]
        ttl: u8,
    },
    /// End an injected partition everywhere.
    Resolve {
        /// Which, as `partitions` lists it.
        id: String,
    },
    /// Send a text to a node; by way of others while it is not connected.
    Send {
        /// To whom; in full where the node need not know all members.
        node: String,
        /// On this channel instead of `default`.
        #[arg(long)]
        channel: Option<String>,
        /// What to say.
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Stop the node in good order; it stays a member.
    Shutdown,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=12))]
    pub(crate) nodes: u8,
    /// No pauses for the reader.
    #[arg(long)]
    pub(crate) fast: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    duration_text::parse(text).ok_or_else(|| "write a whole number and a unit, as in 10s".into())
}
