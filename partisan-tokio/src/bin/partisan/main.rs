//! The program `partisan`: runs a node, asks a running one, shows what a cluster does.

mod arguments;
mod ask;
mod demo;
mod failure;
mod node;
mod requests;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Task};
use failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(perform(arguments)),
        Err(error) => Err(Failure::failed(format!("no runtime: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                anstream::eprintln!("partisan: {}", failure.text);
            }
            ExitCode::from(failure.code)
        }
    }
}

async fn perform(arguments: Arguments) -> Result<(), Failure> {
    match arguments.task {
        Task::Node(node) => node::run(*node).await,
        Task::Ctl(ctl) => ask::ask(ctl).await,
        Task::Demo(demo) => demo::run(demo).await,
    }
}
