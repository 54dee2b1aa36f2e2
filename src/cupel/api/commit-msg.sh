#!/bin/sh
# Gives a commit message a Change-Id, by which Cupel knows the change again when the commit is
# amended, rebased or reordered. Served by Cupel at /tools/hooks/commit-msg; put it into
# .git/hooks/commit-msg and make it executable.
#
# `git config gerrit.createChangeId false` switches it off.
set -eu

if [ "$#" -ne 1 ] || [ ! -f "$1" ]; then
    echo "commit-msg: expected the file of a commit message" >&2
    exit 1
fi

[ "$(git config --type=bool --get gerrit.createChangeId || echo true)" = false ] && exit 0

# What git will drop is no message: comments, and the diff that `git commit --verbose` shows.
said=$(sed '/^. -\{24\} >8 -\{24\}$/,$d' "$1" | git stripspace --strip-comments)
case $said in
    '') exit 0 ;;  # git gives such a commit up
    'fixup! '* | 'squash! '* | 'amend! '*) exit 0 ;;  # these become part of another change
esac

if printf '%s\n' "$said" | git interpret-trailers --no-divider --parse | grep -qi '^change-id:'; then
    exit 0
fi

id=$({
    git var GIT_COMMITTER_IDENT
    printf '%s\n' "$$" "$said"
    head -c 32 /dev/urandom
} | git hash-object --stdin | cut -c 1-40)

git interpret-trailers --no-divider --where end --if-exists doNothing --if-missing add \
    --trailer "Change-Id: I$id" --in-place "$1"
