#!/usr/bin/env bash
# The README's tour: an account, a document, a cited answer, a room with a guest.
#   examples/tour.sh FILE "question"        (HEARTH_URL, EMAIL and PASSWORD may be set)
set -euo pipefail
file=$1 question=$2
email=${EMAIL:-ada@example.com} password=${PASSWORD:-correct horse battery}
api=${HEARTH_URL:-http://127.0.0.1:8000}/api/v1

value() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
object() { python3 -c "import json,sys; print(json.dumps(dict(zip(sys.argv[1::2], sys.argv[2::2]))))" "$@"; }
call() { curl --silent --show-error --fail-with-body "$@"; }
json='Content-Type: application/json'

echo "1. An account"
call "$api/auth/register" -H "$json" -d "$(object email "$email" password "$password" name Ada)" || true
token=$(call "$api/auth/login" --data-urlencode "username=$email" --data-urlencode "password=$password" | value '["access_token"]')
auth="Authorization: Bearer $token"

echo; echo "2. A document"
document=$(call "$api/documents" -H "$auth" -F "file=@$file" | value '["document"]["id"]')
for _ in $(seq 120); do
  status=$(call "$api/documents/$document" -H "$auth" | value '["status"]')
  case $status in ready | failed) break ;; esac
  sleep 0.5
done
call "$api/documents/$document" -H "$auth"
[ "$status" = ready ] || exit 1

echo; echo "3. A question"
call "$api/query" -H "$auth" -H "$json" -d "$(object question "$question")"

echo; echo "4. A room, and a friend in it"
room=$(call "$api/sessions" -H "$auth" -H "$json" -d '{"name": "Kitchen table", "shares_documents": true}' | value '["id"]')
invite=$(call -X POST "$api/sessions/$room/invites" -H "$auth" | value '["invite"]')
guest=$(call "$api/sessions/join" -H "$json" -d "$(object invite "$invite" name Grace)" | value '["access_token"]')
call "$api/chat/$room/messages" -H "Authorization: Bearer $guest" -H "$json" -d "$(object text "$question")"
for _ in $(seq 120); do
  said=$(call "$api/chat/$room/messages?after_seq=0" -H "$auth")
  case $said in *'"is_spirit":true'*) break ;; esac
  sleep 0.5
done
echo; echo "$said"
