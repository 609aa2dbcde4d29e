//! Recording of increments, and errors after which nothing is recorded.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{idempotency_key, page};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, Statement};
use serde_json::{Value, json};
use storage::clock;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    app::{Rung, TestDatabase},
    on_all_databases,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) {
    recordPageViews(input: $input) { increments views recordedAt duplicate }
}";

fn input(increments: Value) -> Value {
    json!({ "input": { "increments": increments } })
}

/// The settings that SQLite's durability needs: <https://www.sqlite.org/pragma.html#pragma_synchronous>
#[tokio::test]
async fn sqlite_uses_wal_with_synchronous_full() {
    const FULL: i64 = 2;
    let database = TestDatabase::create(Rung::Sqlite).await.migrate().await;
    let pragma = async |name: &str| {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
        database.writers.query_one_raw(statement).await.unwrap().unwrap()
    };
    assert_eq!(pragma("journal_mode").await.try_get_by_index::<String>(0).unwrap(), "wal");
    assert_eq!(pragma("synchronous").await.try_get_by_index::<i64>(0).unwrap(), FULL);
}

on_all_databases! {
    async fn increments_are_summed_by_page_and_hour(app: TestApp) {
        let before = clock::process_now();
        let recorded = app.data(RECORD, input(json!([
            { "page": "/a", "at": "2026-03-01T10:59:59Z", "views": 2 },
            { "page": "/a", "at": "2026-03-01T10:00:00Z" },
            { "page": "/a", "at": "2026-03-01T12:00:00+01:00", "views": 5 },
            { "page": "/ü", "at": "2026-03-01T11:00:00Z", "views": 7, "title": "Ü" },
            { "page": "/a", "at": "2026-03-01T10:30:00Z", "views": 1_000_000 },
        ]))).await;
        assert_eq!(recorded["recordPageViews"]["increments"], 5);
        assert_eq!(recorded["recordPageViews"]["views"], 1_000_015);
        assert_eq!(recorded["recordPageViews"]["duplicate"], false);
        let recorded_at: DateTime<Utc> = recorded["recordPageViews"]["recordedAt"].as_str().unwrap().parse().unwrap();
        assert!(before <= recorded_at && recorded_at <= clock::process_now() + TimeDelta::milliseconds(1));

        let day = "2026-03-01".parse().unwrap();
        let expected = [(("/a".to_owned(), day, 10), 1_000_003), (("/a".to_owned(), day, 11), 5), (("/ü".to_owned(), day, 11), 7)];
        assert_eq!(app.counts().await, expected.into());
        let pages = page::Entity::find().all(&app.database.readers).await.unwrap();
        let titles: Vec<_> = pages.iter().map(|page| (page.name.as_str(), page.title.as_deref())).collect();
        assert_eq!(titles, [("/a", None), ("/ü", Some("Ü"))]);
        let marks = app.marks().await;
        assert_eq!(marks, if app.is_on_a_cluster() { 3 } else { 2 }, "one mark an hour a commit, on a cluster one a count");
    }

    async fn increment_without_a_time_counts_in_the_current_hour(app: TestApp) {
        app.data(RECORD, input(json!([{ "page": "/now" }]))).await;
        let now = clock::process_now();
        let counts = app.counts().await;
        let ((page, date, hour), views) = counts.first_key_value().unwrap();
        assert_eq!((page.as_str(), *views), ("/now", 1));
        let counted = date.and_hms_opt(u32::try_from(*hour).unwrap(), 0, 0).unwrap().and_utc();
        assert!(now - counted < TimeDelta::hours(1) + TimeDelta::minutes(1), "{counted}");
    }

    async fn blank_title_counts_as_no_title(app: TestApp) {
        const TITLED: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { duplicate } }";
        let send = async |title: Value| {
            let increment = json!({ "page": "/a", "title": title });
            let input = json!({ "increments": [increment], "idempotencyKey": "one" });
            app.data(TITLED, json!({ "input": input })).await["recordPageViews"]["duplicate"].as_bool()
        };
        app.data(RECORD, input(json!([{ "page": "/a", "title": "A" }]))).await;
        // For the idempotency key, too, it equals no title.
        let duplicates = [send(json!("")).await, send(json!(null)).await, send(json!("  ")).await, send(json!("\u{a0}")).await];
        assert_eq!(duplicates, [Some(false), Some(true), Some(true), Some(true)]);
        let pages = page::Entity::find().all(&app.database.readers).await.unwrap();
        let titles: Vec<_> = pages.iter().map(|page| page.title.as_deref()).collect();
        assert_eq!(titles, [Some("A")], "the page keeps the title that it has");
    }

    async fn bad_input_is_an_error_with_its_field_and_records_nothing(app: TestApp) {
        let good = json!({ "page": "/good" });
        let ahead = (clock::process_now() + TimeDelta::minutes(6)).to_rfc3339();
        for (bad, code, field) in [
            (json!({ "page": "" }), "BAD_USER_INPUT", "increments[1].page"),
            (json!({ "page": "x".repeat(1_025) }), "BAD_USER_INPUT", "increments[1].page"),
            (json!({ "page": "a\u{0}b" }), "BAD_USER_INPUT", "increments[1].page"),
            (json!({ "page": "a\nb" }), "BAD_USER_INPUT", "increments[1].page"),
            (json!({ "page": "/p", "views": 0 }), "BAD_USER_INPUT", "increments[1].views"),
            (json!({ "page": "/p", "views": -1 }), "BAD_USER_INPUT", "increments[1].views"),
            (json!({ "page": "/p", "views": 1_000_001 }), "BAD_USER_INPUT", "increments[1].views"),
            (json!({ "page": "/p", "views": 9_007_199_254_740_992_i64 }), "BAD_USER_INPUT", "views"),
            (json!({ "page": "/p", "views": i64::MIN }), "BAD_USER_INPUT", "views"),
            (json!({ "page": "/p", "views": 1.5 }), "BAD_USER_INPUT", "views"),
            (json!({ "page": "/p", "views": "1" }), "BAD_USER_INPUT", "views"),
            (json!({ "page": "/p", "at": ahead }), "BAD_USER_INPUT", "increments[1].at"),
            (json!({ "page": "/p", "at": "1999-12-31T23:59:59Z" }), "BAD_USER_INPUT", "increments[1].at"),
            (json!({ "page": "/p", "title": "a\nb" }), "BAD_USER_INPUT", "increments[1].title"),
            (json!({ "page": "/p", "title": "x".repeat(1_025) }), "BAD_USER_INPUT", "increments[1].title"),
            (json!({ "views": 1 }), "BAD_USER_INPUT", "page"),
            (json!({ "page": "/p", "count": 1 }), "BAD_USER_INPUT", "count"),
        ] {
            let errors = app.errors(RECORD, input(json!([good, bad]))).await;
            assert_eq!(errors.len(), 1, "{bad}: {errors:?}");
            assert_eq!(errors[0].0, code, "{bad}: {errors:?}");
            assert!(errors[0].1.contains(field), "{bad}: {errors:?}");
        }
        let errors = app.errors(RECORD, input(json!([{ "page": "/p", "at": "yesterday" }]))).await;
        assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
        for increments in [vec![], vec![good; 10_001]] {
            let errors = app.errors(RECORD, input(json!(increments))).await;
            assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
            assert!(errors[0].1.contains("input.increments must be 1 to 10000"), "{errors:?}");
        }
        for key in [String::new(), "k".repeat(129), "import:1".to_owned()] {
            let input = json!({ "input": { "increments": [{ "page": "/p" }], "idempotencyKey": key } });
            let errors = app.errors(RECORD, input).await;
            assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
            assert!(errors[0].1.contains("idempotencyKey"), "{errors:?}");
        }
        assert!(app.counts().await.is_empty());
        assert_eq!(app.marks().await, 0);
    }

    async fn request_takes_ten_thousand_increments(app: TestApp) {
        let increments: Vec<_> = (0..10_000).map(|index| json!({ "page": format!("/{}", index % 700) })).collect();
        let recorded = app.data(RECORD, input(json!(increments))).await;
        assert_eq!(recorded["recordPageViews"]["views"], 10_000);
        assert_eq!(app.counts().await.values().sum::<i64>(), 10_000);
    }

    async fn key_sent_concurrently_counts_once(app: TestApp) {
        const SENT: usize = 50;
        let app = Arc::new(app);
        let barrier = Arc::new(Barrier::new(SENT));
        let mut sending = JoinSet::new();
        for _ in 0..SENT {
            let (app, barrier) = (Arc::clone(&app), Arc::clone(&barrier));
            sending.spawn(async move {
                barrier.wait().await;
                let input = json!({ "input": { "increments": [{ "page": "/once", "views": 3 }], "idempotencyKey": "key" } });
                app.data(RECORD, input).await["recordPageViews"]["duplicate"].as_bool().unwrap()
            });
        }
        let duplicates = sending.join_all().await;
        assert_eq!(duplicates.iter().filter(|duplicate| !**duplicate).count(), 1);
        assert_eq!(app.counts().await.values().sum::<i64>(), 3);
        assert_eq!(idempotency_key::Entity::find().count(&app.database.readers).await.unwrap(), 1);
    }

    async fn key_with_other_increments_is_refused(app: TestApp) {
        let input = |page: &str| json!({ "input": { "increments": [{ "page": page }], "idempotencyKey": "key" } });
        app.data(RECORD, input("/a")).await;
        let errors = app.errors(RECORD, input("/b")).await;
        assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
        assert!(errors[0].1.contains("idempotencyKey"), "{errors:?}");
        assert_eq!(app.counts().await.values().sum::<i64>(), 1);
    }

    async fn recorder_queue_is_bounded(app: TestApp) {
        use increments::{RecordError, Recorder, RecorderSettings, Request};
        // Nothing commits: the committer does not run.
        let settings = RecorderSettings { queue_increments: 10_000, committers: 1, record_timeout_ms: 30_000 };
        let (recorder, committer) = Recorder::new(&app.database, &settings);
        let request = |size| {
            let increment = crate::app::increment("/a", clock::process_now(), 1);
            Request::new(vec![increment; size], None)
        };
        let full = recorder.record(request(10_000));
        let mut full = std::pin::pin!(full);
        assert!(futures_util::poll!(&mut full).is_pending());
        assert!(matches!(recorder.record(request(1)).await, Err(RecordError::Overloaded)));
        // A recorder whose committer has ended fails at once.
        drop(committer);
        assert!(matches!(full.await, Err(RecordError::Unavailable(_))));
        assert!(app.counts().await.is_empty());
    }
}
