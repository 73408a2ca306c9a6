# Downloads a model once, however many pods start together on one volume: one pod downloads, and the others wait for it.
# A later start resumes an interrupted download, and does not repeat a finished one.
#
# usage: sh download.sh FOLDER PROGRAM ARGUMENT...   The program writes FOLDER/files; COMPLETE is written last.
#
# The lock is a folder of numbered folders, as in files/engine/lock.py: mkdir gives each number to one pod, the highest
# number is the state of the lock, and its holder keeps changing the file beat. A lock is stale when that file has not
# changed for DOWNLOAD_STALE_S on the clock of the pod that watches.
folder=$1 files=$1/files
shift
beat_s=${DOWNLOAD_BEAT_S:-10} stale_s=${DOWNLOAD_STALE_S:-150} poll_s=${DOWNLOAD_POLL_S:-2}
timeout_s=${DOWNLOAD_TIMEOUT_S:-3600}
started_s=$(date +%s)

say() { echo "download: $*"; }
newest() { ls "$folder/lock" | sort -n | tail -n 1; }
elapsed_s() { echo $(($(date +%s) - started_s)); }

# Changes the file beat while the program runs, and ends the program when the lock is lost or the time is over.
watch() {
  beats=0
  while :; do
    beats=$((beats + 1))
    echo "$beats" >"$lock/beat"
    if [ "$(newest)" != "$number" ] || [ "$(elapsed_s)" -ge "$timeout_s" ]; then kill "$program"; fi
    sleep "$beat_s"
  done
}

release() { touch "$lock/released"; }

stop() {
  kill "$program" "$watcher" 2>/dev/null
  wait "$program"
  release
  say "stopped; the next start resumes the download"
  exit 143
}

attempt() {
  # The holder before wrote it, after this pod last looked.
  if [ -e "$folder/COMPLETE" ]; then
    release
    return
  fi
  if [ "${DOWNLOAD_FRESH:-}" ]; then rm -rf "$files"; fi
  mkdir -p "$files"
  say "downloading to $files"
  "$@" &
  program=$!
  watch &
  watcher=$!
  trap stop TERM INT
  wait "$program"
  code=$?
  trap - TERM INT
  kill "$watcher"
  if [ "$(newest)" != "$number" ]; then
    say "another pod took over, since this one did not renew its lock in time"
    return
  fi
  if [ "$code" = 0 ] && [ -z "$(ls -A "$files")" ]; then
    release
    say "the source has no files: check bucket and folder, or model and version, in model.uri"
    exit 1
  fi
  if [ "$code" = 0 ]; then
    touch "$folder/COMPLETE"
    release
    say "complete"
    exit 0
  fi
  release
  if [ "$(elapsed_s)" -ge "$timeout_s" ]; then
    say "not complete after $timeout_s s: raise model.download.timeoutSeconds; the next start resumes the download"
  else
    say "$1 ended with exit code $code; check model.uri, its Secret and the free space of the volume"
  fi
  exit 1
}

if ! mkdir -p "$folder/lock"; then
  say "cannot write to $folder: the volume must be writable for user $(id -u), see pod.securityContext.fsGroup"
  exit 1
fi
seen='' changed_s=$(date +%s)
until [ -e "$folder/COMPLETE" ]; do
  number=$(newest)
  state="$number $(cat "$folder/lock/$number/beat" 2>/dev/null)"
  if [ "$state" != "$seen" ]; then
    if [ "${seen%% *}" != "$number" ] && [ "$number" ]; then say "waiting for the pod with lock $number"; fi
    seen=$state changed_s=$(date +%s)
  fi
  if [ -z "$number" ] || [ -e "$folder/lock/$number/released" ] || [ $(($(date +%s) - changed_s)) -ge "$stale_s" ]; then
    number=$((${number:-0} + 1)) lock=$folder/lock/$number
    if mkdir "$lock" 2>/dev/null; then attempt "$@"; fi
    if ! [ -d "$lock" ]; then
      say "cannot write to $folder: check the volume and its free space"
      exit 1
    fi
  fi
  if [ "$(elapsed_s)" -ge "$timeout_s" ]; then
    say "not complete after $timeout_s s of waiting for another pod: check its log, or raise model.download.timeoutSeconds"
    exit 1
  fi
  sleep "$poll_s"
done
say "$folder is complete: nothing to download"
