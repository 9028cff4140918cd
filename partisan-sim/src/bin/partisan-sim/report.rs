//! The command that writes the report of a run.

use std::fs;
use std::io;
use std::path::Path;

use partisan_sim::picture::number;
use partisan_sim::picture::report::Recording;
use serde_json::{Value, json};

use crate::arguments::Cluster;
use crate::{bar, violation_json};

/// Runs a seed and writes its report, and its pictures where they are wanted.
pub(crate) fn report(
    seed: u64,
    cluster: &Cluster,
    output: &Path,
    pictures: Option<&Path>,
) -> (u8, Value) {
    let scenario = cluster.scenario(seed, &(100..101));
    let bar = bar(scenario.span.as_secs(), "simulated seconds");
    let recording =
        Recording::of(&scenario, &mut |now| bar.set_position(now.as_nanos() / 1_000_000_000));
    bar.finish_and_clear();
    let command = format!(
        "partisan-sim report --seed {seed} --nodes {}{}",
        scenario.nodes,
        cluster.as_given()
    );
    let written = write(&recording, &command, output, pictures);
    let shape = recording.shape();
    println!(
        "{} nodes in {} components; {} neighbours on average; average shortest path {}; \
         clustering {}",
        shape.nodes,
        shape.components,
        number(shape.degrees.mean()),
        number(shape.path),
        number(shape.clustering)
    );
    for violation in recording.violations() {
        println!("{violation}");
    }
    let violations: Vec<_> = recording.violations().iter().map(violation_json).collect();
    let object = json!({ "seed": seed, "shape": shape, "violations": violations });
    match written {
        Ok(()) => println!("the report is in {}", output.display()),
        Err(error) => {
            eprintln!("cannot write the report to {}: {error}", output.display());
            return (1, object);
        }
    }
    let first = recording.violations().first();
    (first.map_or(0, |violation| violation.kind.exit_code()), object)
}

fn write(
    recording: &Recording,
    command: &str,
    output: &Path,
    pictures: Option<&Path>,
) -> io::Result<()> {
    fs::write(output, recording.html(command))?;
    if let Some(folder) = pictures {
        fs::create_dir_all(folder)?;
        for (name, picture) in recording.pictures() {
            fs::write(folder.join(format!("{name}.svg")), picture.standalone())?;
        }
    }
    Ok(())
}
