"""From any older schema to the newest, at each start, in one transaction."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from cupel.errors import InfraError
from cupel.store import schema
from cupel.store.backend import Backend

HERE = Path(__file__).parent


async def migrate(engine: AsyncEngine, backend: Backend) -> None:
    """Bring the database to `schema.REVISION`. Raises `InfraError` if it is newer than that."""
    async with engine.connect() as connection:
        if await connection.run_sync(_revision) == schema.REVISION:
            return
    async with engine.connect() as connection:
        await backend.begin_migration(connection)
        await connection.run_sync(upgrade)
        await connection.commit()


def upgrade(connection: sa.Connection) -> None:
    """Run what is missing of the migrations, in the connection's transaction."""
    # Alembic takes half a second to import, which a start without migrations need not wait for.
    from alembic import command, config, script

    settings = config.Config()
    settings.set_main_option("script_location", str(HERE).replace("%", "%%"))
    settings.attributes["connection"] = connection
    known = {
        each.revision for each in script.ScriptDirectory.from_config(settings).walk_revisions()
    }
    current = _revision(connection)
    if current is not None and current not in known:
        raise InfraError(
            f"the store has schema {current}, this program knows {schema.REVISION} at most",
            hint="the store was used by a newer Cupel: install that, or restore an older backup",
        )
    command.upgrade(settings, "head")


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
