import { L402PaymentError } from '../../src/paid-http/errors.ts';
import type { L402Wallet, PaidInvoice, PaymentState } from '../../src/paid-http/wallets/wallet.ts';
import { type InvoiceTerms, type MintedInvoice, mintInvoice } from './invoices.ts';

/** What a wallet was made to do with one payment. */
export type PayStep = (invoice: MintedInvoice, pay: () => PaidInvoice) => Promise<PaidInvoice>;

/** How a test's wallet behaves. */
export interface WalletTerms {
  /** It takes a fee limit, and routing costs so much. */
  readonly feeMsat?: number;
  /** It can be asked what became of a payment. */
  readonly looksUp?: boolean;
  /** Does what a wallet may do instead of paying at once. */
  readonly step?: PayStep;
}

/** A wallet that remembers what it paid, and everything it was asked. */
export interface TestWallet extends L402Wallet {
  /** Every payment that took money, in order: amounts with fees. */
  readonly payments: { readonly paymentHash: string; readonly msat: number }[];
  readonly asked: { readonly bolt11: string; readonly maxFeeMsat: number | undefined }[];
  readonly lookUps: string[];
  /** What it says of a payment from now on, whatever it did. */
  answers: Map<string, PaymentState>;
}

/** Invoices of one world: whoever pays one of them gets its preimage, as over real Lightning. */
export class Lightning {
  readonly #byText = new Map<string, MintedInvoice>();

  mint(terms: InvoiceTerms = {}): MintedInvoice {
    const invoice = mintInvoice(terms);
    this.#byText.set(invoice.bolt11, invoice);
    return invoice;
  }

  wallet(terms: WalletTerms = {}): TestWallet {
    const payments: { paymentHash: string; msat: number }[] = [];
    const answers = new Map<string, PaymentState>();
    const lookUps: string[] = [];
    const asked: { bolt11: string; maxFeeMsat: number | undefined }[] = [];
    const payInvoice: L402Wallet['payInvoice'] = async (bolt11, options) => {
      asked.push({ bolt11, maxFeeMsat: options?.maxFeeMsat });
      const invoice = this.#byText.get(bolt11);
      if (invoice === undefined) {
        throw new L402PaymentError('NO_ROUTE', 'No such node', { outcome: 'failed' });
      }
      const { paymentHash, preimage, amountMsat } = invoice;
      const pay = (): PaidInvoice => {
        payments.push({ paymentHash, msat: amountMsat + (terms.feeMsat ?? 0) });
        const fee = terms.feeMsat === undefined ? {} : { feeMsat: terms.feeMsat };
        if (!answers.has(paymentHash)) {
          answers.set(paymentHash, { state: 'succeeded', preimage, ...fee });
        }
        return { preimage, ...fee };
      };
      if (terms.step !== undefined) return terms.step(invoice, pay);
      await new Promise((resolve) => setImmediate(resolve));
      return pay();
    };
    const lookUpPayment = async (paymentHash: string): Promise<PaymentState> => {
      lookUps.push(paymentHash);
      return answers.get(paymentHash) ?? { state: 'unknown' };
    };
    return {
      payInvoice,
      ...(terms.looksUp === true && { lookUpPayment }),
      ...(terms.feeMsat !== undefined && { limitsFees: true }),
      payments,
      asked,
      lookUps,
      answers,
    };
  }
}
