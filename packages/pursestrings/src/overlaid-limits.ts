import { InvalidLimitError } from './errors.ts';
import type { Limit } from './ledger/limit.ts';
import { EMPTY_POLICY, type Policy, withLimits } from './ledger/policy.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';

/** Limits by their names. */
type Overlay = ReadonlyMap<string, Limit>;

/** What a store is asked of its policy. */
type PolicyMethods = Pick<LedgerStore, 'forLedger' | 'readPolicy' | 'writePolicy'>;

/**
 * The same store, with more limits in its policy: for limits that are terms of the asking and not of
 * the ledger, such as the cap of one guard or client on a ledger that others share. Spends of a purse
 * on it are tested against these limits too, and move envelopes of the ledger like any other's; no
 * other purse ever sees the limits, for they are not written to the policy.
 *
 * The policy under them stays live: limits and freezes of other purses bind at once, and can be
 * changed through this store. A limit of the ledger that has the name of one laid over it is hidden
 * here and stands as it is.
 *
 * @param timeZone The IANA zone of calendar windows, for limits that name none.
 * @throws InvalidLimitError for a name given twice or a zone that is unknown, and later by
 *   `writePolicy` for a policy in which a limit laid over it is changed or missing.
 */
export function overlayLimits(
  store: LedgerStore,
  limits: readonly Limit[],
  timeZone = 'UTC',
): LedgerStore {
  const checked = withLimits(EMPTY_POLICY, limits, timeZone).limits;
  return laidOver(store, new Map(checked.map((limit) => [limit.name, limit])));
}

function laidOver(store: LedgerStore, overlay: Overlay): LedgerStore {
  const own = {
    ...policyMethods(store, overlay),
    ...(isEmbedded(store) && syncPolicyMethods(store, overlay)),
  };
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      // A store keeps its fields to itself, so that its methods want the store and not this stand-in.
      return (...given: unknown[]): unknown => Reflect.apply(value, target, given);
    },
  });
}

function policyMethods(store: LedgerStore, overlay: Overlay): PolicyMethods {
  return {
    forLedger: (ledger) => laidOver(store.forLedger(ledger), overlay),
    readPolicy: async () => withOverlay(await store.readPolicy(), overlay),
    writePolicy: async (policy, expectedRevision) => {
      const bare = withoutOverlay(policy, overlay, await store.readPolicy());
      return withOverlay(await store.writePolicy(bare, expectedRevision), overlay);
    },
  };
}

/** The same for a store inside the process, which is asked at once. */
function syncPolicyMethods(
  store: EmbeddedStore,
  overlay: Overlay,
): Pick<EmbeddedStore, 'readPolicySync' | 'writePolicySync'> {
  return {
    readPolicySync: () => withOverlay(store.readPolicySync(), overlay),
    writePolicySync: (policy, expectedRevision) => {
      const bare = withoutOverlay(policy, overlay, store.readPolicySync());
      return withOverlay(store.writePolicySync(bare, expectedRevision), overlay);
    },
  };
}

/**
 * A policy with the limits laid over it, each in the place of the one that it hides, the others
 * first: so a limit that is added stands last, as it does in the store.
 */
function withOverlay(policy: Policy, overlay: Overlay): Policy {
  const hidden = new Set(policy.limits.map(({ name }) => name).filter((name) => overlay.has(name)));
  const added = [...overlay.values()].filter(({ name }) => !hidden.has(name));
  const standing = policy.limits.map((limit) => overlay.get(limit.name) ?? limit);
  return { ...policy, limits: [...added, ...standing] };
}

/**
 * A policy as the store is to keep it: what is laid over it is left out, and what that hides is back
 * in its place.
 */
function withoutOverlay(policy: Policy, overlay: Overlay, standing: Policy): Policy {
  const given = new Map(policy.limits.map((limit) => [limit.name, limit]));
  for (const [name, limit] of overlay) {
    if (JSON.stringify(given.get(name)) !== JSON.stringify(limit)) throw fixed(name);
  }
  const hidden = new Map(standing.limits.map((limit) => [limit.name, limit]));
  const limits = policy.limits.flatMap((limit) =>
    overlay.has(limit.name) ? (hidden.get(limit.name) ?? []) : limit,
  );
  return { ...policy, limits };
}

function fixed(name: string): InvalidLimitError {
  return new InvalidLimitError(
    name,
    'name',
    'is that of a limit which is laid over the ledger for this purse alone; change another, or open the ledger without it',
  );
}
