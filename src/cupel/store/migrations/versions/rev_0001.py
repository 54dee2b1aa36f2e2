"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("patch_set", sa.BigInteger(), nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("withdrawn_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_change_id", "approvals", ["change_id"])
    op.create_table(
        "artefacts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("build_id", sa.BigInteger(), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artefacts")),
    )
    op.create_index("ix_artefacts_build_id", "artefacts", ["build_id"])
    op.create_table(
        "branches",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("head", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_branches")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_branches_project_id_name")),
    )
    op.create_table(
        "builds",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("buildset_id", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("pipeline", TEXT, nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("voting", sa.Boolean(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("verdict", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("machine_id", sa.BigInteger(), nullable=True),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("reused_from", sa.BigInteger(), nullable=True),
        sa.Column("outputs", TEXT, nullable=True),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("visited_by", TEXT, nullable=True),
        sa.Column("caches", sa.JSON(), nullable=False),
        sa.Column("but_for", sa.JSON(), nullable=False),
        sa.Column("image", TEXT, nullable=False),
        sa.Column("alone", sa.BigInteger(), nullable=True),
        sa.Column("offer", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_builds")),
    )
    op.create_index("ix_builds_buildset_id", "builds", ["buildset_id"])
    op.create_index("ix_builds_item_id", "builds", ["item_id"])
    op.create_index(
        "ix_builds_key",
        "builds",
        ["key"],
        sqlite_where=sa.text('"key" IS NOT NULL'),
        postgresql_where=sa.text('"key" IS NOT NULL'),
    )
    op.create_index(
        "ix_builds_machine_id",
        "builds",
        ["machine_id"],
        sqlite_where=sa.text("machine_id IS NOT NULL"),
        postgresql_where=sa.text("machine_id IS NOT NULL"),
    )
    op.create_index("ix_builds_project_id_job", "builds", ["project_id", "job"])
    op.create_index("ix_builds_state", "builds", ["state"])
    op.create_table(
        "buildsets",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("onto", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("commit", TEXT, nullable=True),
        sa.Column("tree", TEXT, nullable=True),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("detail", TEXT, nullable=True),
        sa.Column("notice", TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("beside", sa.JSON(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("again", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_buildsets")),
    )
    op.create_index(
        "ix_buildsets_commit",
        "buildsets",
        ["commit"],
        sqlite_where=sa.text('"commit" IS NOT NULL'),
        postgresql_where=sa.text('"commit" IS NOT NULL'),
    )
    op.create_index("ix_buildsets_item_id", "buildsets", ["item_id"])
    op.create_index("ix_buildsets_state", "buildsets", ["state"])
    op.create_table(
        "caches",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("host_id", sa.BigInteger(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("contents", TEXT, nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("buildset_id", sa.BigInteger(), nullable=False),
        sa.Column("build_id", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.Column("detail", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caches")),
    )
    op.create_index("ix_caches_project_id", "caches", ["project_id"])
    op.create_index("ix_caches_state", "caches", ["state"])
    op.create_table(
        "changes",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("branch", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=True),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("author", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("patch_set", sa.BigInteger(), nullable=False),
        sa.Column("wants_land", sa.Boolean(), nullable=False),
        sa.Column("land_asked_at", sa.Double(), nullable=True),
        sa.Column("landed_commit", TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("anew", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
    )
    op.create_index("ix_changes_project_id_key", "changes", ["project_id", "key"])
    op.create_index("ix_changes_state", "changes", ["state"])
    op.create_table(
        "counters",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "events",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=True),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("item_id", sa.BigInteger(), nullable=True),
        sa.Column("build_id", sa.BigInteger(), nullable=True),
        sa.Column("machine_id", sa.BigInteger(), nullable=True),
        sa.Column("host_id", sa.BigInteger(), nullable=True),
        sa.Column("user", TEXT, nullable=True),
        sa.Column("text", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_build_id",
        "events",
        ["build_id"],
        sqlite_where=sa.text("build_id IS NOT NULL"),
        postgresql_where=sa.text("build_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_change_id",
        "events",
        ["change_id"],
        sqlite_where=sa.text("change_id IS NOT NULL"),
        postgresql_where=sa.text("change_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_host_id",
        "events",
        ["host_id"],
        sqlite_where=sa.text("host_id IS NOT NULL"),
        postgresql_where=sa.text("host_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_item_id",
        "events",
        ["item_id"],
        sqlite_where=sa.text("item_id IS NOT NULL"),
        postgresql_where=sa.text("item_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_machine_id",
        "events",
        ["machine_id"],
        sqlite_where=sa.text("machine_id IS NOT NULL"),
        postgresql_where=sa.text("machine_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_project_id",
        "events",
        ["project_id"],
        sqlite_where=sa.text("project_id IS NOT NULL"),
        postgresql_where=sa.text("project_id IS NOT NULL"),
    )
    op.create_table(
        "evidence",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("build_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("withdrawn_at", sa.Double(), nullable=True),
        sa.Column("refuted_by", sa.BigInteger(), nullable=True),
        sa.Column("offered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index("ix_evidence_build_id", "evidence", ["build_id"])
    op.create_index("ix_evidence_key", "evidence", ["key"])
    op.create_table(
        "failed_tests",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("build_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("test", TEXT, nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_tests")),
    )
    op.create_index("ix_failed_tests_build_id", "failed_tests", ["build_id"])
    op.create_index("ix_failed_tests_project_id_test", "failed_tests", ["project_id", "test"])
    op.create_table(
        "flakes",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("test", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("proofs", sa.JSON(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("runs", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flakes")),
    )
    op.create_index("ix_flakes_project_id_job", "flakes", ["project_id", "job"])
    op.create_table(
        "histories",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("runs", sa.Double(), nullable=False),
        sa.Column("failures", sa.Double(), nullable=False),
        sa.Column("flakes", sa.Double(), nullable=False),
        sa.Column("log_seconds", sa.Double(), nullable=False),
        sa.Column("log_square", sa.Double(), nullable=False),
        sa.Column("passes", sa.Double(), nullable=False),
        sa.Column("tests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_histories")),
        sa.UniqueConstraint("project_id", "subject", name=op.f("uq_histories_project_id_subject")),
    )
    op.create_table(
        "holds",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=True),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("build_id", sa.BigInteger(), nullable=True),
        sa.Column("job", TEXT, nullable=True),
        sa.Column("until_left", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("detail", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_state", "holds", ["state"])
    op.create_table(
        "hosts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("slots", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=True),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("images", sa.JSON(), nullable=False),
        sa.Column("strikes", sa.BigInteger(), nullable=False),
        sa.Column("quarantined_until", sa.Double(), nullable=True),
        sa.Column("refuses", TEXT, nullable=True),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.JSON(), nullable=False),
        sa.Column("cache_room", sa.BigInteger(), nullable=False),
        sa.Column("cache_share", sa.BigInteger(), nullable=False),
        sa.Column("cpu", TEXT, nullable=False),
        sa.Column("system", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosts")),
    )
    op.create_index("ix_hosts_name", "hosts", ["name"])
    op.create_table(
        "items",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("pipeline", TEXT, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("branch", TEXT, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("patch_set", sa.BigInteger(), nullable=True),
        sa.Column("commit", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("buildset_id", sa.BigInteger(), nullable=True),
        sa.Column("enqueued_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("detail", TEXT, nullable=True),
        sa.Column("lands_with", sa.BigInteger(), nullable=True),
        sa.Column("wait", TEXT, nullable=True),
        sa.Column("conviction", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
    )
    op.create_index(
        "ix_items_change_id",
        "items",
        ["change_id"],
        sqlite_where=sa.text("change_id IS NOT NULL"),
        postgresql_where=sa.text("change_id IS NOT NULL"),
    )
    op.create_index(
        "ix_items_finished_at",
        "items",
        ["finished_at"],
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_items_project_id_branch_pipeline", "items", ["project_id", "branch", "pipeline"]
    )
    op.create_index("ix_items_state", "items", ["state"])
    op.create_table(
        "machines",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("image", TEXT, nullable=True),
        sa.Column("host_id", sa.BigInteger(), nullable=False),
        sa.Column("build_id", sa.BigInteger(), nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ready_at", sa.Double(), nullable=True),
        sa.Column("gone_at", sa.Double(), nullable=True),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.Column("definition", TEXT, nullable=False),
        sa.Column("part", TEXT, nullable=False),
        sa.Column("pinned", TEXT, nullable=False),
        sa.Column("visitors", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=True),
        sa.Column("held_until", sa.Double(), nullable=True),
        sa.Column("ending_told", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machines")),
    )
    op.create_index(
        "ix_machines_build_id",
        "machines",
        ["build_id"],
        sqlite_where=sa.text("build_id IS NOT NULL"),
        postgresql_where=sa.text("build_id IS NOT NULL"),
    )
    op.create_index("ix_machines_host_id", "machines", ["host_id"])
    op.create_index("ix_machines_state", "machines", ["state"])
    op.create_table(
        "patch_sets",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("commit", TEXT, nullable=False),
        sa.Column("tree", TEXT, nullable=False),
        sa.Column("parent", TEXT, nullable=True),
        sa.Column("needs_change", sa.BigInteger(), nullable=True),
        sa.Column("pushed_by", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("depends_on", sa.JSON(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patch_sets")),
        sa.UniqueConstraint("change_id", "number", name=op.f("uq_patch_sets_change_id_number")),
    )
    op.create_index(
        "ix_patch_sets_needs_change",
        "patch_sets",
        ["needs_change"],
        sqlite_where=sa.text("needs_change IS NOT NULL"),
        postgresql_where=sa.text("needs_change IS NOT NULL"),
    )
    op.create_table(
        "planner",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_planner")),
    )
    op.create_table(
        "pools",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("ready", sa.BigInteger(), nullable=False),
        sa.Column("ceiling", sa.BigInteger(), nullable=True),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        sa.Column("idle", sa.Double(), nullable=False),
        sa.Column("holds", sa.BigInteger(), nullable=True),
        sa.Column("definition", TEXT, nullable=False),
        sa.Column("arrivals", sa.Double(), nullable=False),
        sa.Column("arrivals_at", sa.Double(), nullable=False),
        sa.Column("counted", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
        sa.UniqueConstraint("label", name=op.f("uq_pools_label")),
    )
    op.create_table(
        "projects",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("queue_id", sa.BigInteger(), nullable=False),
        sa.Column("branches", sa.JSON(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_index("ix_projects_queue_id", "projects", ["queue_id"])
    op.create_table(
        "quarantines",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("job", TEXT, nullable=True),
        sa.Column("test", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantines")),
    )
    op.create_index("ix_quarantines_project_id", "quarantines", ["project_id"])
    op.create_table(
        "queues",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("landing", TEXT, nullable=False),
        sa.Column("planner", TEXT, nullable=False),
        sa.Column("window", sa.BigInteger(), nullable=True),
        sa.Column("window_floor", sa.BigInteger(), nullable=False),
        sa.Column("window_ceiling", sa.BigInteger(), nullable=True),
        sa.Column("cycles", sa.Boolean(), nullable=False),
        sa.Column("closed", TEXT, nullable=True),
        sa.Column("closed_by", TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queues")),
        sa.UniqueConstraint("name", name=op.f("uq_queues_name")),
    )
    op.create_table(
        "results",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("tally", sa.JSON(), nullable=False),
        sa.Column("notices", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_results")),
    )
    op.create_index(
        "ix_results_key",
        "results",
        ["key"],
        sqlite_where=sa.text('"key" IS NOT NULL'),
        postgresql_where=sa.text('"key" IS NOT NULL'),
    )
    op.create_index("ix_results_project_id_job", "results", ["project_id", "job"])
    op.create_table(
        "deliveries",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("receiver", TEXT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("tried", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "receiver",
            "event_id",
            "address",
            name=op.f("uq_deliveries_receiver_event_id_address"),
        ),
    )
    op.create_index("ix_deliveries_receiver_state", "deliveries", ["receiver", "state"])
    op.create_index(
        "ix_deliveries_finished_at",
        "deliveries",
        ["finished_at"],
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_table(
        "receivers",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", sa.Double(), nullable=True),
        sa.Column("retry_at", sa.Double(), nullable=True),
        sa.Column("delivered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receivers")),
        sa.UniqueConstraint("name", name=op.f("uq_receivers_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("once", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
