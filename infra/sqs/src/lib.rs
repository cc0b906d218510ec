//! loopback-sqs
