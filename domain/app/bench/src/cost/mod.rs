//! Estimates what the system costs a month on AWS, from list prices.

mod bill;
mod limits;
mod prices;
mod workload;

use crate::figures::grouped;
use bill::{BillLine, Load, MONTH_S};
use ledgerfold::cli::{Failure, output};
use limits::Limit;
use serde::Serialize;
use workload::Assumption;

/// The highest rate that is estimated.
const MAX_RATE: f64 = 1_000_000.0;

const EXAMPLES: &str = "\
Examples:
  ledgerfold-bench cost
  ledgerfold-bench cost --rate 50 --reads 500 --history 30
  ledgerfold-bench cost --rate 1 --rate 2000 --event-bytes 2000 --json

It multiplies list prices by counted requests, for a constant rate. It sends no requests to AWS. Below
the estimate it prints what it assumes and what it leaves out.";

/// Estimate what the system costs a month on AWS, and which limits it reaches.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cost {
    /// Client commands per second, such as 0.01; 0 is an idle system. May be repeated.
    #[arg(long = "rate", value_name = "N", default_values_t = [1.0, 100.0, 10_000.0], value_parser = per_second)]
    rates: Vec<f64>,
    /// Client reads per second; by default as many as commands.
    #[arg(long, value_name = "N", value_parser = per_second)]
    reads: Option<f64>,
    /// Bytes of data per event.
    #[arg(long, value_name = "BYTES", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=390_000))]
    event_bytes: u32,
    /// Days of events in the store.
    #[arg(long = "history", value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    history_days: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The estimate for one rate.
#[derive(Debug, Serialize)]
struct Estimate {
    commands_per_s: f64,
    reads_per_s: f64,
    usd_per_month: f64,
    /// None for an idle system.
    usd_per_million_commands: Option<f64>,
    items: Vec<BillLine>,
    limits: Vec<Limit>,
}

/// The estimates, and what they are based on.
#[derive(Debug, Serialize)]
struct CostReport {
    region: &'static str,
    prices_written_down: &'static str,
    event_bytes: u32,
    history_days: u32,
    estimates: Vec<Estimate>,
    assumptions: &'static [Assumption],
    left_out: &'static [&'static str],
}

impl Cost {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let report = CostReport {
            region: prices::REGION,
            prices_written_down: prices::WRITTEN_DOWN,
            event_bytes: self.event_bytes,
            history_days: self.history_days,
            estimates: self.rates.iter().map(|rate| self.estimate(*rate)).collect(),
            assumptions: &workload::ASSUMPTIONS,
            left_out: &workload::LEFT_OUT,
        };
        if self.json { output::json(&report) } else { print(&report) }
    }

    fn estimate(&self, rate: f64) -> Estimate {
        let load = Load {
            commands_per_s: rate,
            reads_per_s: self.reads.unwrap_or(rate),
            event_bytes: f64::from(self.event_bytes),
            history_days: f64::from(self.history_days),
        };
        let items = load.bill();
        let usd_per_month: f64 = items.iter().map(|line| line.usd_per_month).sum();
        Estimate {
            commands_per_s: load.commands_per_s,
            reads_per_s: load.reads_per_s,
            usd_per_month,
            usd_per_million_commands: (rate > 0.0).then(|| usd_per_month / (rate * MONTH_S) * 1e6),
            items,
            limits: limits::limits(&load),
        }
    }
}

/// Parses a rate.
fn per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=MAX_RATE).contains(rate));
    rate.ok_or_else(|| format!("a number from 0 to {MAX_RATE}"))
}

fn print(report: &CostReport) -> Result<(), Failure> {
    output::line(&format!(
        "US dollars a month in {}, list prices as written down on {}; events of {} bytes, {} days of them kept\n",
        report.region, report.prices_written_down, report.event_bytes, report.history_days
    ))?;
    report.estimates.iter().try_for_each(print_estimate)?;
    output::line("It assumes:")?;
    report
        .assumptions
        .iter()
        .try_for_each(|Assumption { what, why }| output::line(&format!("  - {what} ({why})")))?;
    output::line("It leaves out:")?;
    report.left_out.iter().try_for_each(|what| output::line(&format!("  - {what}")))
}

fn print_estimate(estimate: &Estimate) -> Result<(), Failure> {
    let Estimate {
        commands_per_s,
        reads_per_s,
        usd_per_month,
        usd_per_million_commands,
        items,
        limits,
    } = estimate;
    let per_million =
        usd_per_million_commands.map(|usd| format!(", {} USD a million commands", cents(usd)));
    output::line(&format!(
        "{} commands/s and {} reads/s: {} USD a month{}",
        grouped(&commands_per_s.to_string()),
        grouped(&reads_per_s.to_string()),
        cents(*usd_per_month),
        per_million.unwrap_or_default()
    ))?;
    let rows: Vec<[String; 4]> = items.iter().map(row).collect();
    output::rows(["  ITEM", "A MONTH", "PRICE", "USD"], &rows)?;
    let (within, beyond): (Vec<&Limit>, Vec<&Limit>) =
        limits.iter().partition(|limit| limit.within);
    output::line(&format!("  within {} of {} limits", within.len(), limits.len()))?;
    beyond.into_iter().try_for_each(|Limit { what, limit, needs, beyond, .. }| {
        output::line(&format!(
            "  BEYOND {what}: needs {} of {}; {beyond}",
            whole(*needs),
            whole(*limit)
        ))
    })?;
    output::line("")
}

fn row(BillLine { price, quantity, usd_per_month }: &BillLine) -> [String; 4] {
    let per = if price.per > 1.0 { " a million" } else { "" };
    [
        format!("  {}", price.item),
        format!("{} {}", whole(*quantity), price.unit),
        format!("{}{per}", price.usd),
        cents(*usd_per_month),
    ]
}

fn cents(amount: f64) -> String {
    grouped(&format!("{amount:.2}"))
}

/// Rounded up, so that a value just above a limit does not look like the limit.
fn whole(amount: f64) -> String {
    grouped(&format!("{:.0}", amount.ceil()))
}
