# Keycloak on loopback with the two realms of deploy/keycloak, with its database in memory: each start imports them again.
# Sourced by up.sh. It comes from Maven's repository; the passwords here are test data.
KEYCLOAK=$BACKENDS/keycloak KEYCLOAK_VERSION=26.4.7
KEYCLOAK_PORT=$((BACKENDS_PORT + 3)) KEYCLOAK_URL=http://127.0.0.1:$((BACKENDS_PORT + 3))
KEYCLOAK_DIST=$KEYCLOAK/keycloak-$KEYCLOAK_VERSION

fetch_keycloak() {
  [ -x "$KEYCLOAK_DIST/bin/kc.sh" ] && return
  mkdir -p "$KEYCLOAK/new"
  (cd "$KEYCLOAK" && mvn --batch-mode --quiet dependency:unpack -DoutputDirectory="$KEYCLOAK/new" \
    -Dartifact="org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:zip" > mvn.log 2>&1) || { tail -n 5 "$KEYCLOAK/mvn.log" >&2; exit 1; }
  chmod +x "$KEYCLOAK/new/keycloak-$KEYCLOAK_VERSION"/bin/*.sh
  mv "$KEYCLOAK/new/keycloak-$KEYCLOAK_VERSION" "$KEYCLOAK_DIST"
  rm -rf "$KEYCLOAK/new" "$KEYCLOAK/target"
}

# control.py runs this too, to start Keycloak again.
write_keycloak_start() {
  cat > "$KEYCLOAK/start" <<START
#!/bin/bash
export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin JAVA_OPTS_KC_HEAP='-Xms64m -Xmx400m'
export KEYCLOAK_CLIENT_SECRET=isthmus-secret KEYCLOAK_PEOPLE_PASSWORD=people-pw ISTHMUS_PUBLIC_URL=http://127.0.0.1
setsid setpriv --reuid '$HPC_USER' --regid '$HPC_USER' --clear-groups -- '$KEYCLOAK_DIST/bin/kc.sh' start-dev --db=dev-mem --http-host=127.0.0.1 --http-port=$KEYCLOAK_PORT \\
  --hostname=$KEYCLOAK_URL --import-realm > '$KEYCLOAK/log' 2>&1 < /dev/null &
echo \$! > '$KEYCLOAK/pid'
START
  chmod 755 "$KEYCLOAK/start"
}

# The last realm to be imported.
keycloak_answers() { curl --silent --fail --output /dev/null "$KEYCLOAK_URL/realms/isthmus2/.well-known/openid-configuration"; }

start_keycloak() {
  mkdir -p "$KEYCLOAK"
  chmod 755 "$KEYCLOAK"
  fetch_keycloak
  install -D -m 644 -t "$KEYCLOAK_DIST/data/import" "$CHECKOUT"/deploy/keycloak/*-realm.json
  chown -R "$HPC_USER": "$KEYCLOAK_DIST"
  write_keycloak_start
  keycloak_answers || "$KEYCLOAK/start"
}

start_keycloak
