//! Failures at start: are all of them reported?

use super::Deployment;
use super::process::{Service, run};
use crate::harness::published_issuer::Issuer;
use tokio::net::TcpListener;

#[tokio::test]
async fn all_missing_settings_are_in_one_message() {
    let (status, stdout, stderr) = run(&[], Vec::new()).await;
    assert_eq!((status, stdout.as_str()), (2, ""), "{stderr}");
    for name in ["AWS_REGION", "--prefix", "--issuer", "--audience"] {
        assert!(stderr.contains(&format!("{name} is missing")), "{name}: {stderr}");
    }
    assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
}

#[tokio::test]
async fn all_wrong_settings_are_in_one_message() {
    let wrong = [
        ("--listen", "here", "--listen is \"here\""),
        ("--prefix", "a b", "--prefix is \"a b\", and must be 1 to 40 letters"),
        (
            "--issuer",
            "http://login.example.org",
            "--issuer: \"http://login.example.org\" must be an address such as",
        ),
        (
            "--consumers",
            "orders,nothing",
            "--consumers names \"nothing\", which ledgerfold has not: orders,",
        ),
        ("--concurrency", "0", "--concurrency is \"0\", and must be a whole number from 1 to 100"),
        ("--poll", "21", "--poll is \"21\""),
        ("--linger", "x", "--linger is \"x\""),
        ("--drain", "", "--drain is \"\""),
    ];
    let arguments: Vec<&str> =
        wrong.iter().flat_map(|(option, value, _)| [*option, *value]).collect();
    let dsn = ("SENTRY_DSN".to_owned(), "nonsense".to_owned());
    let (status, _, stderr) = run(&arguments, vec![dsn]).await;
    assert_eq!(status, 2, "{stderr}");
    let also = ["--audience is missing", "AWS_REGION is missing", "SENTRY_DSN must be a DSN"];
    for printed in wrong.iter().map(|(_, _, printed)| *printed).chain(also) {
        assert!(stderr.contains(printed), "{printed}: {stderr}");
    }
    let (status, _, stderr) = run(&["everything"], Vec::new()).await;
    assert!(
        status == 2 && stderr.contains("\"everything\" cannot be served: api, consumers or all"),
        "{stderr}"
    );
}

#[tokio::test]
async fn help_has_examples_and_lists_what_is_not_served() {
    let (status, stdout, _) = run(&["--help"], Vec::new()).await;
    assert_eq!(status, 0);
    for part in [
        "bookshop-service-under-test serve consumers --prefix",
        "Fan-out is not served",
        "LEDGERFOLD_PREFIX",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

/// Runs it until it gives up. Returns its output.
async fn gives_up(deployment: &Deployment, what: &[&str]) -> String {
    let (status, stdout, stderr) = run(what, deployment.environment()).await;
    assert_eq!(status, 1, "{stdout}{stderr}");
    stdout
}

/// It retries for some seconds, so the three cases run at once.
#[tokio::test]
async fn it_does_not_start_without_the_keys_of_its_issuer() {
    let deployment = Deployment::start().await;
    let (down, renamed, empty) =
        (&deployment.issuer, &Issuer::start().await, &Issuer::start().await);
    down.set_down(true);
    renamed.call_itself("https://somebody.example.org");
    empty.publish(&[]);
    let output =
        async |issuer: &Issuer| gives_up(&deployment, &["api", "--issuer", &issuer.url]).await;
    let (down, renamed, empty) = tokio::join!(output(down), output(renamed), output(empty));
    assert!(
        down.contains("the program cannot serve") && down.contains("answered with status 503"),
        "{down}"
    );
    assert_eq!(down.matches("trying again").count(), 4, "{down}");
    assert!(renamed.contains("is the configuration of the issuer"), "{renamed}");
    assert!(empty.contains("has no key that can verify tokens: it is empty"), "{empty}");
}

#[tokio::test]
async fn it_does_not_start_without_tables_and_queues() {
    let deployment = Deployment::start().await;
    for what in ["api", "consumers"] {
        let printed = gives_up(&deployment, &[what, "--prefix", "elsewhere"]).await;
        assert!(printed.contains("elsewhere-"), "{printed}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let printed = gives_up(&deployment, &["api", "--listen", &address]).await;
    assert!(printed.contains(&format!("{address} cannot be listened on")), "{printed}");
}

#[tokio::test]
async fn consumers_need_no_issuer_and_serve_only_health() {
    let deployment = Deployment::start().await;
    let environment =
        deployment.environment().into_iter().filter(|(name, _)| !name.contains("TOKEN")).collect();
    let service =
        Service::start(&["consumers", "--consumers", "orders,commands"], environment).await;
    assert_eq!(service.says("serving").await["queues"], "orders,commands");
    let anybody = deployment.caller(&service).without_token();
    anybody.until("/readyz", |answer| answer.status == 200).await;
    assert_eq!(anybody.get("/healthz").await.status, 200);
    assert_eq!(anybody.get("/orders/1").await.status, 404);
    service.stop().await;
}
