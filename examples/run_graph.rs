//! Runs frozen graphs on arrays: what the tests compare with TensorFlow.
//!
//! ```text
//! cargo run --release --example run_graph -- cases FILE
//! cargo run --release --example run_graph -- trace GRAPH INPUT ARRAY OUTPUT FOLDER
//! cargo run --release --example run_graph -- time GRAPH INPUT ARRAY OUTPUT THREADS RUNS
//! ```
//! `cases` takes one case a line: a graph, then `tensor=array.npy` for what is fed, then `tensor>array.npy` for what is to
//! be written, separated by tabs; it prints `ok` or the error for each. `trace` writes every tensor that the output needs.
//! `time` prints milliseconds of a processor per run (Linux) and the peak of memory in bytes.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tfquant::internals::{Graph, parse};
use tfquant::interpreter::{Limits, Plan, Session, Tensor};
use tfquant::samples::npy;
use tfquant::source;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["cases", file] => {
            let mut answers = String::new();
            for line in fs::read_to_string(file)?.lines() {
                match case(line) {
                    Ok(()) => answers.push_str("ok\n"),
                    Err(error) => writeln!(answers, "error: {}", error.to_string().replace('\n', " "))?,
                }
            }
            fs::write(Path::new(file).with_extension("out"), answers)?;
            Ok(())
        }
        ["trace", graph, input, array, output, folder] => trace(graph, input, array, output, Path::new(folder)),
        ["time", graph, input, array, output, threads, runs] => {
            time(graph, input, array, output, threads.parse()?, runs.parse()?)
        }
        _ => Err("usage: see the head of examples/run_graph.rs".into()),
    }
}

fn open(path: &str) -> Result<Graph> {
    Ok(parse(source::open(path.as_ref())?.bytes)?)
}

fn array(path: &str) -> Result<Tensor> {
    Ok(npy::read(&fs::read(path)?)?)
}

fn case(line: &str) -> Result<()> {
    let mut fields = line.split('\t');
    let graph = open(fields.next().unwrap_or_default())?;
    let (mut feeds, mut arrays, mut fetches, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        if let Some((name, path)) = field.split_once('=') {
            feeds.push(graph.tensor_named(name)?);
            arrays.push(array(path)?);
        } else if let Some((name, path)) = field.split_once('>') {
            fetches.push(graph.tensor_named(name)?);
            files.push(path);
        }
    }
    let limits = Limits { memory: 1 << 30, steps: 100_000 };
    let plan = Plan::new(&graph, &feeds, &fetches, &limits)?;
    let results = Session::new(&plan).run(&arrays, &mut |_, _| Ok(()))?;
    for (result, file) in results.iter().zip(files) {
        fs::write(file, npy::write(result))?;
    }
    Ok(())
}

fn trace(graph: &str, input: &str, input_array: &str, output: &str, folder: &Path) -> Result<()> {
    let graph = open(graph)?;
    let (input, output) = (graph.tensor_named(input)?, graph.tensor_named(output)?);
    let plan = Plan::new(&graph, &[input], &[output], &Limits::default())?;
    let mut names = String::new();
    let mut count = 0;
    Session::new(&plan).run(&[array(input_array)?], &mut |at, tensor| {
        let file = folder.join(format!("{count}.npy"));
        fs::write(&file, npy::write(tensor)).map_err(|error| tfquant::Error::io("cannot write", error))?;
        names.push_str(&graph.tensor_name(at));
        names.push('\n');
        count += 1;
        Ok(())
    })?;
    fs::write(folder.join("names.txt"), names)?;
    Ok(())
}

#[allow(clippy::print_stdout)]
fn time(graph: &str, input: &str, input_array: &str, output: &str, threads: usize, runs: usize) -> Result<()> {
    let graph = open(graph)?;
    let (input, output) = (graph.tensor_named(input)?, graph.tensor_named(output)?);
    let started = Instant::now();
    let plan = Plan::new(&graph, &[input], &[output], &Limits::default())?;
    let planned = started.elapsed();
    let feed = [array(input_array)?];
    let work = || -> tfquant::Result<Duration> {
        let mut session = Session::new(&plan);
        session.run(&feed, &mut |_, _| Ok(()))?;
        let started = processor_time();
        for _ in 0..runs {
            session.run(&feed, &mut |_, _| Ok(()))?;
        }
        Ok(processor_time().saturating_sub(started))
    };
    let mut spent = Duration::ZERO;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| {
            spent += thread.join().map_err(|_| "a thread panicked")??;
            Ok::<(), Box<dyn Error>>(())
        })
    })?;
    let each = spent / u32::try_from(threads * runs)?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!("plan_ms {:.2} ms {:.2} peak {}", milliseconds(planned), milliseconds(each), plan.peak_memory());
    Ok(())
}

/// How long this thread has had a processor, so that what else the machine does is left out.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or_default())
}
