//! List prices of AWS: US East (N. Virginia), on demand, no free tier, the first price of each
//! scale.
//!
//! In US dollars, without tax. They were copied by hand: check the named page before you rely on
//! one.

use serde::Serialize;

/// When the prices were copied.
pub(super) const WRITTEN_DOWN: &str = "2026-11-23";
/// The region of the prices.
pub(super) const REGION: &str = "us-east-1";

/// The price of one item of the bill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Price {
    /// What is paid for.
    pub(super) item: &'static str,
    /// What is counted.
    pub(super) unit: &'static str,
    /// US dollars for `per` units.
    pub(super) usd: f64,
    /// How many units the price is for.
    pub(super) per: f64,
    /// The page with the price.
    pub(super) source: &'static str,
}

const MILLION: f64 = 1e6;

const fn price(
    item: &'static str,
    usd: f64,
    per: f64,
    unit: &'static str,
    source: &'static str,
) -> Price {
    Price { item, unit, usd, per, source }
}

pub(super) const HTTP_API: Price =
    price("API gateway, HTTP API", 1.00, MILLION, "requests", "aws.amazon.com/api-gateway/pricing");
pub(super) const INVOCATIONS: Price =
    price("Lambda, invocations", 0.20, MILLION, "invocations", "aws.amazon.com/lambda/pricing");
pub(super) const DURATION: Price = price(
    "Lambda, duration on arm64",
    13.3334,
    MILLION,
    "GB-seconds",
    "aws.amazon.com/lambda/pricing",
);
pub(super) const WRITES: Price = price(
    "DynamoDB, writes",
    0.625,
    MILLION,
    "write units",
    "aws.amazon.com/dynamodb/pricing/on-demand",
);
pub(super) const READS: Price = price(
    "DynamoDB, reads",
    0.125,
    MILLION,
    "read units",
    "aws.amazon.com/dynamodb/pricing/on-demand",
);
pub(super) const STORAGE: Price =
    price("DynamoDB, storage", 0.25, 1.0, "GB", "aws.amazon.com/dynamodb/pricing/on-demand");
pub(super) const RECOVERY: Price = price(
    "DynamoDB, point-in-time recovery",
    0.20,
    1.0,
    "GB",
    "aws.amazon.com/dynamodb/pricing/on-demand",
);
pub(super) const QUEUES: Price =
    price("SQS, FIFO", 0.50, MILLION, "requests", "aws.amazon.com/sqs/pricing");
pub(super) const LOGS: Price =
    price("CloudWatch, logs taken in", 0.50, 1.0, "GB", "aws.amazon.com/cloudwatch/pricing");
/// Delivered logs have the same first price.
pub(super) const ACCESS_LOGS: Price =
    price("CloudWatch, access logs taken in", 0.50, 1.0, "GB", "aws.amazon.com/cloudwatch/pricing");
pub(super) const METRICS: Price =
    price("CloudWatch, metrics", 0.30, 1.0, "metrics", "aws.amazon.com/cloudwatch/pricing");
pub(super) const ALARMS: Price =
    price("CloudWatch, alarms", 0.10, 1.0, "alarms", "aws.amazon.com/cloudwatch/pricing");
pub(super) const DASHBOARDS: Price =
    price("CloudWatch, dashboards", 3.00, 1.0, "dashboards", "aws.amazon.com/cloudwatch/pricing");

/// Machine clients cost 6 USD each per month, and 2.25 USD per thousand tokens.
pub(super) const CLIENTS: Price =
    price("Cognito, machine clients", 6.00, 1.0, "clients", "aws.amazon.com/cognito/pricing");
pub(super) const TOKENS: Price =
    price("Cognito, tokens", 2_250.00, MILLION, "tokens", "aws.amazon.com/cognito/pricing");

impl Price {
    /// The price of a quantity, in US dollars.
    pub(super) fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.usd
    }
}
